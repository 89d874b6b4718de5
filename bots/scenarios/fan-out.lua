-- fan-out: a few talk, everyone listens: one room, or as many as you say.
chatbot {
    roles = {
        {"talker", bots = 5},
        {"listener", bots = 45, sends = false},
    },
    rate = 100,
    rooms = 1,
    ramp = 1,
    duration = 10,
    size = {60, 200},
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
    end
end

function listener(bot)
    bot:join()
    bot:sleep()
end
