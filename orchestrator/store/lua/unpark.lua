#!lua
-- unpark: give the parked events of a workflow back to the inbox in order; the last of them ends the quarantine.
-- KEYS  w park ev
-- ARGV  limit
-- GIVES OK moved left | UNKNOWN
-- SAFE TO REPEAT: yes, repeat until nothing is left
local w, park, ev = KEYS[1], KEYS[2], KEYS[3]
if not redis.call('HGET', w, 'v') then return {'UNKNOWN'} end
local entries = redis.call('XRANGE', park, '-', '+', 'COUNT', ARGV[1])
redis.call('XLEN', ev)

for i = 1, #entries do
  redis.call('XADD', ev, '*', unpack(entries[i][2]))
  redis.call('XDEL', park, entries[i][1])
end
local left = redis.call('XLEN', park)
if left == 0 then
  redis.call('HDEL', w, 'q', 'qe', 'qt')
  redis.call('UNLINK', park)
end
return {'OK', #entries, left}
