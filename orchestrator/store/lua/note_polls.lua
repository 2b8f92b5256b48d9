#!lua
-- note_polls: who asked which queues for tasks last; notes of a day ago make room for new ones when there are too many.
-- KEYS  polls (of the catalog)
-- ARGV  notes_max, then per note: field age_ms worker
-- GIVES how many notes there are
-- SAFE TO REPEAT: yes
--@include now
local polls, most = KEYS[1], tonumber(ARGV[1])
local count = redis.call('HLEN', polls)
if count >= most then
  local all, old = redis.call('HGETALL', polls), {}
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^%d+')) < now - 86400000 then old[#old + 1] = all[i] end
  end
  for from = 1, #old, 1000 do redis.call('HDEL', polls, unpack(old, from, math.min(from + 999, #old))) end
  count = count - #old
end
for i = 2, #ARGV, 3 do
  if count < most or redis.call('HEXISTS', polls, ARGV[i]) == 1 then
    count = count + redis.call('HSET', polls, ARGV[i], string.format('%d ', now - ARGV[i + 1]) .. ARGV[i + 2])
  end
end
return count
