#!lua
-- begin_move: give the next number to a move of executions between Redis and the archive, unless one of this kind is under way.
-- KEYS  arc (of the catalog)
-- ARGV  kind ('' = any number may be under way) stale_ms
-- GIVES number, or 0 when another one of this kind began less than stale_ms ago
-- SAFE TO REPEAT: yes, an unused number is stale some time later
--@include now
local fields = redis.call('HGETALL', KEYS[1])
if ARGV[1] ~= '' then
  for i = 1, #fields, 2 do
    local at, kind = string.match(fields[i + 1], '^(%d+) (.*)$')
    if string.sub(fields[i], 1, 2) == 'm:' and kind == ARGV[1] and now - tonumber(at) < tonumber(ARGV[2]) then return 0 end
  end
end
local number = redis.call('HINCRBY', KEYS[1], 'moves', 1)
redis.call('HSET', KEYS[1], 'm:' .. number, string.format('%d', now) .. ' ' .. ARGV[1])
return number
