#!lua
-- touch: signs of life of running tasks; their response time-outs start anew.
-- KEYS  tm ev, then the d of each workflow named
-- ARGV  claimant count, then per task: index of d, wid, suffix, delivery
-- GIVES per task: OK | STALE | GONE | CORRUPT
-- SAFE TO REPEAT: yes
--@include now
--@include dispatch
--@include alarm
local tm, ev, claimant = KEYS[1], KEYS[2], ARGV[1]
local head = redis.call('ZRANGE', tm, 0, 0, 'WITHSCORES')
redis.call('XLEN', ev)

local verdicts, writes = {}, {}
for at = 3, 2 + 4 * tonumber(ARGV[2]), 4 do
  local index, suffix, delivery = tonumber(ARGV[at]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local d = entry_of(index, suffix)
  local verdict
  if d == nil then
    verdict = 'CORRUPT'
  elseif not d or d.state ~= 'R' then
    verdict = 'GONE'
  elseif delivery ~= d.delivery or claimant ~= d.claimant then
    verdict = 'STALE'
  else
    verdict = 'OK'
    d.touched = now
    writes[#writes + 1] = {KEYS[index], suffix, text_of(d)}
    if d.response ~= '0' then alarm(ARGV[at + 1] .. ' ' .. suffix .. ' ' .. d.ref, due_of(d)) end
  end
  verdicts[#verdicts + 1] = verdict
end

for i = 1, #writes do redis.call('HSET', writes[i][1], writes[i][2], writes[i][3]) end
set_alarms(tm, ev, head)
return verdicts
