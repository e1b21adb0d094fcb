-- The session in the field ARGV[1] is used now, if it is there. It ends at most ARGV[2] ms after it
-- was made, if that is not empty.
-- Answers its header, and what it holds as well if ARGV[3] is 1; nothing if it is not there.

local field = ARGV[1]
local value = read(field)
local it, ended = session_of(value)
if it and not touch(it, tonumber(ARGV[2])) then ended = true end
if ended then redis.call('HDEL', KEY, field) end
if ended or not it then return false end
local header = spell(it)
local whole = header .. it.body
redis.call('HSET', KEY, field, whole)
live_with(it)
return ARGV[3] == '1' and whole or header
