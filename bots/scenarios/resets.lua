-- resets: connections end by RST in the middle of things and come back for what they missed; the others notice nothing.
chatbot {
    roles = {
        {"talker", bots = 10},
        {"resetter", bots = 40},
    },
    rooms = 5,
    rate = 200,
    ramp = 1,
    duration = 10,
    custom = {share = 20},
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
    end
end

function resetter(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
        if bot:random(100) <= settings.share then
            bot:reset()
            bot:enter{resume = true}
            bot:join(bot.home, {after = true})
        end
    end
end
