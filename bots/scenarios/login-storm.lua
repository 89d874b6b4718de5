-- login-storm: connect, log in, say bye, and again, so many times a second; the latency is that of the way in.
chatbot {
    bots = 100,
    rate = 200,
    ramp = 1,
    duration = 10,
    manual = true,
}

function bot(bot)
    for _ in bot:turns() do
        if bot:enter() then
            bot:bye()
        end
    end
end
