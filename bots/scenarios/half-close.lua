-- half-close: say some things, end one's own side at once, and get every answer and message before the server's end.
chatbot {
    roles = {
        {"leaver", bots = 30},
        {"stayer", bots = 10, sends = false, manual = true},
    },
    rooms = 4,
    rate = 60,
    ramp = 1,
    duration = 10,
    manual = true,
    custom = {most = 20},
}

function leaver(bot)
    for _ in bot:turns() do
        if bot:enter() and bot:join() then
            for _ = 1, bot:random(settings.most) do
                bot:send()
            end
            bot:shutdown()
            bot:wait_end()
        end
    end
end

-- With on_eof = "stay" one goes on listening after one's own end.
function stayer(bot)
    bot:enter{on_eof = "stay"}
    bot:join()
    bot:shutdown()
    while true do
        bot:expect{type = "msg", within = 60, optional = true}
    end
end
