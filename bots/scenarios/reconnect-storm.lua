-- reconnect-storm: every few seconds all connections break at one moment and all come back at once, missing nothing.
chatbot {
    roles = {
        {"talker", bots = 5},
        {"struck", bots = 195, sends = false},
    },
    rooms = 5,
    rate = 50,
    ramp = 2,
    settle = 2,
    duration = 20,
    custom = {every = 4},
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
    end
end

function struck(bot)
    local n = 0
    bot:join()
    while bot:await((n + 1) * settings.every) do
        n = n + 1
        if bot.index % 2 == 0 then
            bot:reset()
        else
            bot:close()
        end
        bot:enter{resume = true}
        bot:join(bot.home, {after = true})
    end
end
