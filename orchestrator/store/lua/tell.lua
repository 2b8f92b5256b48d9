#!lua
-- tell: put another workflow's word into the inbox of one; or, when there is none, forbid its start for a while.
-- KEYS  w ev tomb
-- ARGV  wid body tombstone_ms (0 = do not forbid)
-- GIVES OK | UNKNOWN
-- SAFE TO REPEAT: yes, the word is put in once more, and whoever decides on it recognises that
--@include now
local w, ev, tomb = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HEXISTS', w, 'v') == 0 then
  if ARGV[3] ~= '0' then redis.call('SET', tomb, '1', 'PX', ARGV[3]) end
  return {'UNKNOWN'}
end
redis.call('XLEN', ev)

redis.call('XADD', ev, '*', 'k', 'told', 'w', ARGV[1], 't', string.format('%.0f', now), 'x', '', 'b', ARGV[2])
return {'OK'}
