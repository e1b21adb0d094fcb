-- Blocks a caller for ARGV[1] ms from now, by the server's clock; 0 ends its block. KEYS[1] is the
-- block's key.

local length = tonumber(ARGV[1])
if length == 0 then return redis.call('DEL', KEYS[1]) end
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + length
return redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', ARGV[1])
