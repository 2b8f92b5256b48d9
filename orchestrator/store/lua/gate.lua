#!lua
-- gate: who of the executions under one rate-limit key is in, and who waits for that in order; all of it in one slot.
-- KEYS  in (by when last looked at) wait (by order) run (of each) new (let in, not told yet) res (by expiry) meta
-- ARGV  operation, workflow id, run, limit (0 = as known), then by operation:
--       ask: 1 to be refused when it is full, 0 to wait | reserve: ms | leave: - ('' as run = any) | told: -
-- GIVES word count_in count_waiting {wid run ... let in and not told yet, at most 50} {wid ... in, not looked at lately}
--       word: GRANTED | HELD (reserve, by one that has a place) | WAITING | REJECTED | OK (leave, told)
-- SAFE TO REPEAT: yes, whoever is in or waits stays where he is, and only a newer run counts
--@include now
local inside, wait, runs, new, res, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local op, wid, run, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', meta, 'limit', 'order')
if limit == 0 then limit = tonumber(known[1] or '0') end
local order = tonumber(known[2] or '0')
local held = redis.call('ZSCORE', inside, wid)
local waits = redis.call('ZSCORE', wait, wid)
local last = tonumber(redis.call('HGET', runs, wid) or '-1')
redis.call('SCARD', new)
local stale = redis.call('ZRANGEBYSCORE', res, '-inf', now)

-- A reservation that no start came for is over.
for _, other in ipairs(stale) do
  redis.call('ZREM', res, other)
  if other ~= wid or op ~= 'ask' then
    redis.call('ZREM', inside, other)
    redis.call('HDEL', runs, other)
    if other == wid then held = false end
  end
end
if limit > 0 then redis.call('HSET', meta, 'limit', string.format('%.0f', limit)) end

local function enter(other)
  redis.call('ZADD', inside, now, other)
  redis.call('SADD', new, other)
end

local word = 'OK'
if op == 'ask' then
  if not run or run < last then run = last end
  if held then
    redis.call('ZREM', res, wid)
    redis.call('SADD', new, wid)
    word = 'GRANTED'
  elseif waits then
    word = 'WAITING'
  elseif redis.call('ZCARD', inside) < limit and redis.call('ZCARD', wait) == 0 then
    enter(wid)
    word = 'GRANTED'
  elseif ARGV[5] == '1' then
    word = 'REJECTED'
  else
    redis.call('ZADD', wait, order + 1, wid)
    redis.call('HSET', meta, 'order', string.format('%.0f', order + 1))
    word = 'WAITING'
  end
  if word ~= 'REJECTED' then redis.call('HSET', runs, wid, string.format('%.0f', run)) end
elseif op == 'reserve' then
  if held then
    word = 'HELD'
  elseif redis.call('ZCARD', inside) < limit and redis.call('ZCARD', wait) == 0 then
    redis.call('ZADD', inside, now, wid)
    redis.call('ZADD', res, now + tonumber(ARGV[5]), wid)
    redis.call('HSET', runs, wid, '-1')
    word = 'GRANTED'
  else
    word = 'REJECTED'
  end
elseif op == 'leave' then
  if not run or last <= run then
    redis.call('ZREM', inside, wid)
    redis.call('ZREM', wait, wid)
    redis.call('ZREM', res, wid)
    redis.call('SREM', new, wid)
    redis.call('HDEL', runs, wid)
  end
elseif op == 'told' then
  if last == run then redis.call('SREM', new, wid) end
end

while limit > redis.call('ZCARD', inside) do
  local following = redis.call('ZPOPMIN', wait)
  if #following == 0 then break end
  enter(following[1])
end

local told, suspects = {}, {}
for _, other in ipairs(redis.call('SRANDMEMBER', new, 50)) do
  told[#told + 1] = other
  told[#told + 1] = redis.call('HGET', runs, other) or '0'
end
if word == 'WAITING' or word == 'REJECTED' then
  suspects = redis.call('ZRANGE', inside, 0, 2)
  for _, other in ipairs(suspects) do redis.call('ZADD', inside, now, other) end
end
return {word, redis.call('ZCARD', inside), redis.call('ZCARD', wait), told, suspects}
