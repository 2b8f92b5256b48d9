#!lua
-- claim_rq_jobs: hand out the jobs that are to be looked at; each is due again after half its age, within bounds.
-- KEYS  job due (of the jobs at RQ)
-- ARGV  count_max pause_ms_min pause_ms_max
-- GIVES now next_due_ms (-1 = there is none) then task id, RQ queue for each
-- SAFE TO REPEAT: yes; what a lost answer held is handed out again when it is due
--@include now
local least, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local found, again = {}, {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', string.format('%d', now), 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local since, queue = string.match(redis.call('HGET', KEYS[1], id) or '', '^(%d+) (.*)$')
  if since then
    found[#found + 1] = id
    found[#found + 1] = queue
    again[#again + 1] = string.format('%d', now + math.max(least, math.min(most, math.floor((now - since) / 2))))
    again[#again + 1] = id
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
if #again > 0 then redis.call('ZADD', KEYS[2], unpack(again)) end
local head = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {string.format('%d', now), head[2] and string.format('%d', tonumber(head[2])) or '-1', unpack(found)}
