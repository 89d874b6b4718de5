-- chat-day: people come, talk in a room or two, look up what was said, whisper, go to lunch and come back.
chatbot {
    bots = 60,
    rooms = 6,
    rate = 120,
    arrivals = "poisson",
    ramp = 3,
    duration = 20,
    size = {30, 600},
    text = "mixed",
}

local function any_room(bot)
    return settings.room_prefix .. bot:random(settings.rooms)
end

local function whisper(bot)
    local other = bot:random(settings.bots)
    if other ~= bot.index then
        bot:send(nil, {room = "@" .. bot:nick_of(other), may_fail = "no_such_nick"})
    end
end

local function lunch(bot)
    local room = bot.home
    if bot:bye("lunch") then
        bot:sleep(0.2)
        bot:enter()
        bot:join(room, {after = true})
    end
end

local function change_room(bot)
    bot:leave(bot.home)
    bot:join(bot.home)
end

function bot(bot)
    bot:join(any_room(bot))
    bot:join(bot.home)
    for _ in bot:turns() do
        local what = bot:random(100)
        if what <= 80 then
            bot:send(nil, {room = bot.home})
        elseif what <= 85 then
            bot:history{room = bot.home, limit = 20}
        elseif what <= 89 then
            bot:who(bot.home)
        elseif what <= 91 then
            bot:topic(bot:text(40), {room = bot.home, may_fail = 'not_allowed'}) -- whoever came first owns it
        elseif what <= 95 then
            whisper(bot)
        elseif what <= 97 then
            change_room(bot)
        elseif what <= 98 then
            lunch(bot)
        else
            bot:ping()
        end
    end
end
