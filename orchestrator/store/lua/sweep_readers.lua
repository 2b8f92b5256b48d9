#!lua
-- sweep_readers: forget the readers of a stream that are gone; one that has a message in hand is never forgotten.
-- KEYS  q (or a stream of the user's)
-- ARGV  group idle_ms name ('' = every reader)
-- GIVES how many were forgotten
-- SAFE TO REPEAT: yes
local q, group, count = KEYS[1], ARGV[1], 0
if redis.call('EXISTS', q) == 0 then return 0 end
local readers = redis.call('XINFO', 'CONSUMERS', q, group)
for _, reader in ipairs(readers) do
  local of = {}
  for i = 1, #reader, 2 do of[reader[i]] = reader[i + 1] end
  if of.pending == 0 and of.idle >= tonumber(ARGV[2]) and (ARGV[3] == '' or ARGV[3] == of.name) then
    redis.call('XGROUP', 'DELCONSUMER', q, group, of.name)
    count = count + 1
  end
end
return count
