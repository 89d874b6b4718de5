-- many-rooms: everyone is in many rooms with few members each, and talks now in one, now in another.
chatbot {
    bots = 200,
    rooms = 500,
    rate = 400,
    ramp = 2,
    duration = 10,
    custom = {rooms_each = 10},
}

function bot(bot)
    local mine = {}
    for i = 0, settings.rooms_each - 1 do
        local room = settings.room_prefix .. ((bot.index * 7 + i * 31) % settings.rooms + 1)
        if bot:join(room) then
            mine[#mine + 1] = room
        end
    end
    for _ in bot:turns() do
        bot:send(nil, {room = mine[bot:random(#mine)]})
    end
end
