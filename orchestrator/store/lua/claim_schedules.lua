#!lua
-- claim_schedules: hand out what is due; nobody else gets it until the claim ends, or it has been fired.
-- KEYS  def next look meta last (of the schedules)
-- ARGV  count_max claim_ms
-- GIVES now next_look_ms (-1 = nothing is scheduled) then name json due_ms last_started (`<due_ms> <id>`, '' = none)
--       for each
-- SAFE TO REPEAT: yes; what a lost answer held is handed out again when its claim has ended
--@include now
local at = string.format('%d', now)
if redis.call('HGET', KEYS[4], 'paused') then return {at, '-1'} end
local names = redis.call('ZRANGE', KEYS[3], '-inf', at, 'BYSCORE', 'LIMIT', 0, ARGV[1])
local found, claims = {}, {}
if #names > 0 then
  local bodies, dues = redis.call('HMGET', KEYS[1], unpack(names)), redis.call('HMGET', KEYS[2], unpack(names))
  local last = redis.call('HMGET', KEYS[5], unpack(names))
  for i, name in ipairs(names) do
    if bodies[i] and dues[i] then
      found[#found + 1] = name
      found[#found + 1] = bodies[i]
      found[#found + 1] = dues[i]
      found[#found + 1] = last[i] or ''
    end
    claims[#claims + 1] = string.format('%d', now + tonumber(ARGV[2]))
    claims[#claims + 1] = name
  end
  redis.call('ZADD', KEYS[3], unpack(claims))
end
local head = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
return {at, head[2] and string.format('%d', tonumber(head[2])) or '-1', unpack(found)}
