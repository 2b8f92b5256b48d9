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
  -- A few of them, whichever: to read ten thousand would hold up everybody else each time anybody notes a poll.
  local some, old = redis.call('HRANDFIELD', polls, 100, 'WITHVALUES'), {}
  for i = 1, #some, 2 do
    if tonumber(string.match(some[i + 1], '^%d+')) < now - 86400000 then old[#old + 1] = some[i] end
  end
  if #old > 0 then count = count - redis.call('HDEL', polls, unpack(old)) end
end
for i = 2, #ARGV, 3 do
  if count < most or redis.call('HEXISTS', polls, ARGV[i]) == 1 then
    count = count + redis.call('HSET', polls, ARGV[i], string.format('%d ', now - ARGV[i + 1]) .. ARGV[i + 2])
  end
end
return count
