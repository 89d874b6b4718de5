-- slow-readers: some read a few bytes a second, some stop for a while; they lose nothing, and the others do not wait.
chatbot {
    roles = {
        {"talker", bots = 5},
        {"listener", bots = 20, sends = false},
        {"slow", bots = 20, sends = false},
        {"stopping", bots = 5, sends = false},
    },
    rate = 200,
    ramp = 1,
    duration = 15,
    drain = 60,
    size = {200, 4000},
    custom = {bytes_per_second = 20000, pause = 3},
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

function slow(bot)
    bot:join()
    bot:read_slowly(settings.bytes_per_second)
    bot:sleep()
end

function stopping(bot)
    bot:join()
    while true do
        bot:stop_reading()
        bot:sleep(settings.pause)
        bot:read_on()
        bot:sleep(settings.pause / 2)
    end
end
