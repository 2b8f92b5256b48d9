#!lua
-- accept: take what workers and outside callers say of tasks into the inbox; a final word is taken once.
-- KEYS  ev tm, then the d of each workflow named
-- ARGV  claimant count, then per report: index of d, wid, suffix, delivery (-1 = without a lease), kind, body
--       kind: 1 final, 0 progress, 2 progress of a task that from now on waits for an outside event only, 3 progress of one
--       that whoever has it keeps
-- GIVES per report: OK | DUP | STALE | GONE | CORRUPT
-- SAFE TO REPEAT: yes, a final word that was taken is DUP and rewritten as it is; progress is appended once more
--@include now
--@include dispatch
local ev, claimant, at_text = KEYS[1], ARGV[1], string.format('%d', now)
redis.call('XLEN', ev)
redis.call('ZCARD', KEYS[2])

local verdicts, writes = {}, {}
for at = 3, 2 + 6 * tonumber(ARGV[2]), 6 do
  local index, suffix, delivery = tonumber(ARGV[at]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local d = entry_of(index, suffix)
  local verdict
  if d == nil then
    verdict = 'CORRUPT'
  elseif not d then
    verdict = 'GONE'
  elseif d.state == 'A' then
    verdict = 'DUP'
    writes[#writes + 1] = {index, suffix, text_of(d)}
  elseif delivery ~= -1 and (delivery ~= d.delivery or claimant ~= d.claimant) then
    verdict = 'STALE'
  else
    verdict = 'OK'
    if ARGV[at + 4] == '1' then
      d.state = 'A'
    else
      if ARGV[at + 4] == '2' then
        d.state = 'W'
      elseif ARGV[at + 4] == '0' and d.state == 'R' then
        d.state = 'S'
      end
      d.touched = now
    end
    -- A word from outside says so: its delivery number stays -1, and the queue still has the task.
    local told = delivery == -1 and -1 or d.delivery
    local header = string.format('%s %d %d %d %s %s', suffix, told, d.started, d.polls, d.claimant, d.ref)
    writes[#writes + 1] = {index, suffix, text_of(d), ARGV[at + 1], header, ARGV[at + 5]}
  end
  verdicts[#verdicts + 1] = verdict
end

for i = 1, #writes do
  local write = writes[i]
  redis.call('HSET', KEYS[write[1]], write[2], write[3])
  if write[4] then
    redis.call('XADD', ev, '*', 'k', 'task', 'w', write[4], 't', at_text, 'x', write[5], 'b', write[6])
  end
end
return verdicts
