-- garbage: broken lines of every kind, HTTP, noise; each is answered as it has to be, and the others notice nothing.
chatbot {
    roles = {
        {"talker", bots = 10},
        {"fool", bots = 20},
        {"stranger", bots = 10, manual = true},
    },
    rooms = 2,
    rate = 100,
    ramp = 1,
    duration = 10,
}

-- What is sent, and the error that it has to be answered with.
local lines = {
    {'{"type":"send"', "bad_json"},
    {'[1,2,3]', "bad_json"},
    {'{"type":"ping"} {}', "bad_json"},
    {'{"type":"ping","data":"\t"}', "bad_json"},
    {'{"type":"ping","data":"\xff\xfe"}', "bad_utf8"},
    {'{"type":"ping","data":"\\ud800"}', "bad_utf8"},
    {'{"type":"ping","data":' .. string.rep("[", 40) .. string.rep("]", 40) .. "}", "too_deep"},
    {'{"type":"dance"}', "unknown_type"},
    {'{"type":"ping","id":7}', "bad_request"},
    {'{"type":"join","room":null}', "bad_request"},
    {'{"type":"join","room":"No Such Room"}', "bad_room"},
    {'{"type":"send","room":"elsewhere","text":"hello"}', "not_member"},
    {'{"type":"ping","data":"' .. string.rep("x", 20000) .. '"}', "too_long"},
}

function talker(bot)
    bot:join()
    for _ in bot:turns() do
        bot:send()
    end
end

function fool(bot)
    for _ in bot:turns() do
        local line = lines[bot:random(#lines)]
        bot:raw(line[1] .. "\n")
        bot:expect{type = "error", code = line[2]}
    end
end

local function noise(bot)
    local out = {}
    for i = 1, 400 do
        out[i] = string.char(bot:random(0, 255))
    end
    return table.concat(out)
end

-- Other protocols: an HTTP request, a broken TLS handshake, bytes of any kind.
function stranger(bot)
    bot:set_blind(true)
    bot:may_end("protocol", "no-bye", "eof", "idle", "reset", "truncated", "other", "tls")
    for _ in bot:turns() do
        if not bot.connected then
            bot:connect()
        end
        local what = bot:random(3)
        if not bot.connected then
            -- perhaps on TLS, where the server has hung up
        elseif what == 1 then
            bot:raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            bot:wait_end()
        elseif what == 2 then
            bot:raw("\x16\x03\x01\x02\x00" .. noise(bot))
            bot:close()
        else
            bot:raw(noise(bot) .. "\n")
            bot:shutdown()
            bot:wait_end()
        end
    end
end
