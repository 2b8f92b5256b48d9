#!lua flags=no-writes
-- webhook_shapes: the different versions and paths in an index of what tasks await, skipping from one to the next.
-- KEYS  idx:w:<workflow name> (of a partition)
-- ARGV  how many at most
-- GIVES "<version>\n<paths>" ...
-- SAFE TO REPEAT: yes, nothing is written
local found, from = {}, '-'
for _ = 1, tonumber(ARGV[1]) do
  local member = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  local shape = string.match(member, '^[^\n]*\n[^\n]*')
  found[#found + 1] = shape
  from = '(' .. shape .. '\11'
end
return found
