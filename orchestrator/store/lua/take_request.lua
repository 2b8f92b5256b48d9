#!lua
-- take_request: let one more request of a key in, or say how long it must wait; a second's worth may come at once.
-- KEYS  rate (of the access slot)
-- ARGV  requests_per_s
-- GIVES 0 = let in, else the milliseconds to wait
-- SAFE TO REPEAT: no; a repeated call counts as another request
--@include now
local step = 1000 / tonumber(ARGV[1])
local free_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = math.ceil(free_at + step - 1000 - now)
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.3f', free_at + step), 'PX', 2000)
return 0
