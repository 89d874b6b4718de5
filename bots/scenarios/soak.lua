-- soak: for half an hour everything at once, the bad manners too; nothing may be wrong, lost, or left behind.
chatbot {
    roles = {
        {"talker", bots = 30},
        {"leaver", bots = 15},
        {"resetter", bots = 15},
        {"quitter", bots = 10},
        {"stayer", bots = 5, sends = false, manual = true},
        {"struck", bots = 20, sends = false},
        {"fool", bots = 10},
        {"stranger", bots = 5, manual = true},
        {"slow", bots = 5, sends = false},
        {"stopping", bots = 5, sends = false},
        {"loris", bots = 10, sends = false, manual = true},
        {"comer", bots = 5, manual = true},
    },
    rooms = 8,
    rate = 200,
    arrivals = "poisson",
    ramp = 5,
    settle = 120,
    duration = 1800,
    drain = 60,
    size = {30, 1000},
    flat = 2,
    custom = {every = 15}, -- seconds between two storms
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        if bot:random(50) == 1 then
            bot:history{limit = 50}
        else
            bot:send()
        end
    end
end

function leaver(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
        if bot:random(5) == 1 then
            bot:shutdown()
            bot:wait_end()
            bot:enter()
            bot:join(bot.home, {after = true})
        end
    end
end

function resetter(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
        if bot:random(5) == 1 then
            bot:reset()
            bot:enter{resume = true}
            bot:join(bot.home, {after = true})
        end
    end
end

-- Gone in the middle of a conversation, without a bye, and without reading what is still to come.
function quitter(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
        if bot:random(5) == 1 then
            bot:close()
            bot:sleep(0.1)
            bot:enter{resume = true}
            bot:join(bot.home, {after = true})
        end
    end
end

-- Ends its side and listens on, for as long as a storm is away; then it has everything that was said, and comes back.
function stayer(bot)
    local resume = false
    while true do
        if bot:enter{on_eof = "stay", resume = resume} then
            bot:join(bot.home, {after = true})
            bot:shutdown()
            bot:sleep(settings.every)
            bot:wait_tail()
            bot:reset()
            resume = true
        end
        bot:sleep(0.1)
    end
end

-- All at one moment, one half by RST; and back, all at one moment again.
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
        bot:sleep(0.1)
        bot:enter{resume = true}
        bot:join(bot.home, {after = true})
    end
end

local junk = {
    {'{"type":"send"', "bad_json"},
    {'{"type":"ping","data":"\xff"}', "bad_utf8"},
    {'{"type":"dance"}', "unknown_type"},
    {'{"type":"ping","data":"' .. string.rep("x", 20000) .. '"}', "too_long"},
}

function fool(bot)
    for _ in bot:turns() do
        local line = junk[bot:random(#junk)]
        bot:raw(line[1] .. "\n")
        bot:expect{type = "error", code = line[2]}
    end
end

function stranger(bot)
    bot:set_blind(true)
    bot:may_end("protocol", "no-bye", "eof", "idle", "reset", "tls")
    for _ in bot:turns() do
        if bot:connect() then
            bot:raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            bot:wait_end()
        end
    end
end

function slow(bot)
    bot:join()
    bot:read_slowly(30000)
    bot:sleep()
end

function stopping(bot)
    bot:join()
    while true do
        bot:stop_reading()
        bot:sleep(3)
        bot:read_on()
        bot:sleep(3)
    end
end

function loris(bot)
    bot:may_end("idle")
    while true do
        if bot:connect() then
            bot:trickle('{"type":"hello","version":1,"nick":"' .. string.rep("x", 200), 1)
            bot:close()
        end
        bot:sleep(1)
    end
end

function comer(bot)
    for _ in bot:turns() do
        if bot:enter() then
            bot:bye()
        end
    end
end
