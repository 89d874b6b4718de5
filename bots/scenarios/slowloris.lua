-- slowloris: connections that send a byte now and then, or nothing, until the server ends them; the others notice nothing.
chatbot {
    roles = {
        {"talker", bots = 10},
        {"loris", bots = 150, sends = false, manual = true},
        {"silent", bots = 40, sends = false, manual = true},
    },
    rooms = 2,
    rate = 50,
    ramp = 2,
    duration = 40,
    custom = {bytes_per_second = 1},
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
    end
end

function loris(bot)
    bot:may_end("idle")
    while true do
        if bot:connect() then
            bot:trickle('{"type":"hello","version":1,"nick":"' .. string.rep("x", 200), settings.bytes_per_second)
            bot:close()
        end
        bot:sleep(0.1)
    end
end

-- To one who has said nothing the server does not know how to speak, plain or TLS: it may end without a bye.
function silent(bot)
    bot:may_end("idle", "no-bye")
    while true do
        if bot:connect() then
            bot:wait_end(1e6)
        end
        bot:sleep(0.1)
    end
end
