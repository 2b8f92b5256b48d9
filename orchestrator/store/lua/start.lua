#!lua
-- start: claim a workflow id (and an idempotency key), keep the request and tell the decider.
-- KEYS  w ev idem defs tomb, then w of the expected predecessor when one is named
-- ARGV  wid request_id name idempotency_field expected_other definition_hash definition_body meta input event_body
--       ('' = none: idempotency_field, expected_other; definition_body '' = believed to be here)
-- GIVES OK wid | EXISTS other_wid | TAKEN | NODEF | TOMB
-- SAFE TO REPEAT: yes, with the same wid and request_id; the repeat rewrites a field so that a barrier has something to see
--@include now
local w, ev, idem, defs, tomb = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local wid, rid, name, field = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local known = redis.call('HMGET', w, 'v', 'rid')
if known[1] then
  if known[2] ~= rid then return {'TAKEN'} end
  redis.call('HSET', w, 'rid', rid)
  return {'OK', wid}
end
if redis.call('EXISTS', tomb) == 1 then return {'TOMB'} end
if field ~= '' then
  local other = redis.call('HGET', idem, field)
  if other and other ~= wid then
    local ended = false
    if KEYN == 6 and other == ARGV[5] then
      local s = redis.call('HGET', KEYS[6], 's')
      ended = not s or s == 'COMPLETED' or s == 'FAILED' or s == 'TIMED_OUT' or s == 'TERMINATED'
    end
    if not ended then
      redis.call('HSET', idem, field, other)
      return {'EXISTS', other}
    end
  end
end
local is_known = redis.call('HEXISTS', defs, ARGV[6])
if is_known == 0 and ARGV[7] == '' then return {'NODEF'} end

-- The event is appended first: of the keys that are written, the inbox alone has not been read, and may be foreign.
local at = string.format('%d', now)
redis.call('XADD', ev, '*', 'k', 'start', 'w', wid, 't', at, 'x', '', 'b', ARGV[10])
redis.call('HSET', w, 'v', '0', 's', 'RUNNING', 'rid', rid, 't', at, 'n', name, 'm', ARGV[8], 'i', ARGV[9])
if field ~= '' then redis.call('HSET', idem, field, wid) end
if is_known == 0 then redis.call('HSET', defs, ARGV[6], ARGV[7]) end
return {'OK', wid}
