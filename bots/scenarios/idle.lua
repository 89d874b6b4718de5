-- idle: connections that are there, each in a room, and say nothing: what does one cost?
chatbot {
    bots = 1000,
    rooms = 100,
    ramp = 5,
    settle = 1,
    duration = 5,
}

function bot(bot)
    if settings.rooms > 0 then
        bot:join()
    end
    bot:sleep()
end
