#!lua
-- fire_timers: turn due timers into events, each with the dispatch truth of its task.
-- KEYS  own tm ev, then the d of each workflow named
-- ARGV  epoch owner count, then per timer: index of d (0 = a workflow's own timer), member, score, wid, suffix, ref
-- GIVES FENCED | OK fired next_due_or_-1 now
-- SAFE TO REPEAT: yes, a timer that is gone, armed anew or not due is left alone
--@include now
--@include dispatch
local own, tm, ev = KEYS[1], KEYS[2], KEYS[3]
local owner = redis.call('HMGET', own, 'e', 'o')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return {'FENCED'} end
redis.call('XLEN', ev)

local fires, seen = {}, {}
for at = 4, 3 + 6 * tonumber(ARGV[3]), 6 do
  local index, member, suffix = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 4]
  local score, armed = tonumber(ARGV[at + 2]), tonumber(redis.call('ZSCORE', tm, member))
  if armed and armed == score and score <= now and not seen[member] then
    seen[member] = true
    local d = index > 0 and entry_of(index, suffix)
    local header
    if d then
      header = string.format('%s %s %d %d %d %s %s', suffix, d.state, d.started, d.touched, d.polls, d.claimant, d.ref)
    else
      header = string.format('%s - 0 0 0 - %s', suffix, ARGV[at + 5])
    end
    fires[#fires + 1] = {member, ARGV[at + 3], header}
  end
end

local text = string.format('%d', now)
for i = 1, #fires do
  redis.call('ZREM', tm, fires[i][1])
  redis.call('XADD', ev, '*', 'k', 'timer', 'w', fires[i][2], 't', text, 'x', fires[i][3], 'b', '')
end
local head = redis.call('ZRANGE', tm, 0, 0, 'WITHSCORES')
return {'OK', #fires, head[2] and tonumber(head[2]) or -1, now}
