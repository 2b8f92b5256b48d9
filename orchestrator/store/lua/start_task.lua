#!lua
-- start_task: let a claimant begin tasks it claimed, unless the partition knows better; arms their time-outs and
-- tells of a first start whoever wants to know.
-- KEYS  tm ev, then d w of each workflow named
-- ARGV  claimant count, then per task: index of d, wid, suffix, delivery
-- GIVES per task: {OK scheduled meta started_ms polls response_ms} | {GONE} | {STALE} | {CORRUPT}
-- SAFE TO REPEAT: yes, the same claimant and delivery get the same answer
--@include now
--@include dispatch
--@include alarm
local tm, ev, claimant = KEYS[1], KEYS[2], ARGV[1]
local head = redis.call('ZRANGE', tm, 0, 0, 'WITHSCORES')
redis.call('XLEN', ev)

local replies, writes, began = {}, {}, {}
for at = 3, 2 + 4 * tonumber(ARGV[2]), 4 do
  local index, suffix, delivery = tonumber(ARGV[at]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local d = entry_of(index, suffix)
  local reply
  if d == nil then
    reply = {'CORRUPT'}
  elseif not d or d.state == 'A' or d.state == 'W' then
    reply = {'GONE'}
  elseif delivery < d.delivery or (delivery == d.delivery and d.claimant ~= claimant) then
    reply = {'STALE'}
  else
    local known = redis.pcall('HMGET', KEYS[index + 1], 'S' .. d.ref, 'm')
    local scheduled, meta = known[1], known[2]
    if not scheduled or not meta then
      reply = {'CORRUPT'}
    else
      -- A postponed task comes back with a higher delivery number, so this is a repeat of an answer that was lost.
      if not (delivery == d.delivery and d.state == 'R') then
        if d.claimant == '+' then began[#began + 1] = {ARGV[at + 1], suffix .. ' ' .. d.ref} end
        d.state, d.delivery, d.touched, d.polls, d.claimant = 'R', delivery, now, d.polls + 1, claimant
        if d.started == 0 then d.started = now end
        writes[#writes + 1] = {KEYS[index], suffix, d}
        alarm(ARGV[at + 1] .. ' ' .. suffix .. ' ' .. d.ref, due_of(d))
      end
      reply = {'OK', scheduled, meta, d.started, d.polls, tonumber(d.response)}
    end
  end
  replies[#replies + 1] = reply
end

for i = 1, #writes do redis.call('HSET', writes[i][1], writes[i][2], text_of(writes[i][3])) end
for i = 1, #began do
  redis.call('XADD', ev, '*', 'k', 'began', 'w', began[i][1], 't', string.format('%.0f', now), 'x', began[i][2], 'b', '')
end
set_alarms(tm, ev, head)
return replies
