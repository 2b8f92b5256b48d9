#!lua
-- fired_schedule: note what became of due times, and move the schedule on, unless it was changed meanwhile.
-- KEYS  def next look x xt last (of the schedules; x and xt of this one)
-- ARGV  name due_ms next_ms ('' = it is over) look_ms records_max started ('' = nothing was started; `<due_ms> <id>`, known
--       from now on unless a later due time has started something), then due_ms record for each due time
-- GIVES OK | MOVED (another has moved it on, or it was changed: only records that were not there were written) | GONE
-- SAFE TO REPEAT: yes, MOVED is then the answer
local name, due, next, look = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', KEYS[1], name) == 0 then return 'GONE' end
local pending = redis.call('HGET', KEYS[2], name)
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[4])
local last = string.match(redis.call('HGET', KEYS[6], name) or '', '^(%d+) ')
local times, excess = {}, redis.call('ZCARD', KEYS[5]) + (#ARGV - 6) / 2 - tonumber(ARGV[5])
for i = 7, #ARGV, 2 do
  -- Whoever is late says nothing over the word of the one who has moved it on.
  redis.call(pending == due and 'HSET' or 'HSETNX', KEYS[4], ARGV[i], ARGV[i + 1])
  times[#times + 1] = ARGV[i]
  times[#times + 1] = ARGV[i]
end
if #times > 0 then redis.call('ZADD', KEYS[5], unpack(times)) end
local started = string.match(ARGV[6], '^%d+')
if started and tonumber(started) >= tonumber(last or 0) then redis.call('HSET', KEYS[6], name, ARGV[6]) end
if excess > 0 then
  local old = redis.call('ZRANGE', KEYS[5], 0, math.min(excess, 100) - 1)
  redis.call('HDEL', KEYS[4], unpack(old))
  redis.call('ZREM', KEYS[5], unpack(old))
end
if pending ~= due then return 'MOVED' end
if next == '' then
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
else
  redis.call('HSET', KEYS[2], name, next)
  redis.call('ZADD', KEYS[3], look, name)
end
return 'OK'
