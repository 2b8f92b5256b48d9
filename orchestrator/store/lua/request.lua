#!lua
-- request: put an operation on a workflow into the inbox, once per request id.
-- KEYS  w ev ans
-- ARGV  wid request_id body
-- GIVES SENT | PENDING | ANSWERED answer | UNKNOWN
-- SAFE TO REPEAT: yes, for ten minutes: PENDING until the decider has answered, then ANSWERED
--@include now
local w, ev, ans = KEYS[1], KEYS[2], KEYS[3]
local answer = redis.call('GET', ans)
if answer and answer ~= '' then return {'ANSWERED', answer} end
if answer then
  redis.call('SET', ans, '', 'PX', 600000)
  return {'PENDING'}
end
if not redis.call('HGET', w, 'v') then return {'UNKNOWN'} end
redis.call('XLEN', ev)

redis.call('SET', ans, '', 'PX', 600000)
redis.call('XADD', ev, '*', 'k', 'op', 'w', ARGV[1], 't', string.format('%d', now), 'x', ARGV[2], 'b', ARGV[3])
return {'SENT'}
