#!lua
-- installation: record how this installation is laid out when it is new, and read what was recorded; nothing is recorded
-- for a user who may not run every command that the scripts of this installation call.
-- KEYS  meta (of the catalog)
-- ARGV  partitions schema oldest_reader, then the commands that scripts call
-- GIVES partitions schema oldest_reader, as recorded, then the commands that are refused
-- SAFE TO REPEAT: yes, the first writer decides
local refused = {}
for i = 4, redis.acl_check_cmd and #ARGV or 0 do -- fakes have no users
  local is_known, is_allowed = pcall(redis.acl_check_cmd, ARGV[i], KEYS[1])
  if is_known and not is_allowed then refused[#refused + 1] = ARGV[i] end
end
local recorded = redis.call('HMGET', KEYS[1], 'partitions', 'schema', 'oldest_reader')
if not recorded[1] then
  recorded = {ARGV[1], ARGV[2], ARGV[3]}
  if #refused == 0 then
    redis.call('HSET', KEYS[1], 'partitions', ARGV[1], 'schema', ARGV[2], 'oldest_reader', ARGV[3])
  end
end
for i = 1, #refused do recorded[3 + i] = refused[i] end
return recorded
