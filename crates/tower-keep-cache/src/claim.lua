-- Puts the lease ARGV[1] for ARGV[2] milliseconds in the place of what stands under KEYS[1], if that
-- begins as ARGV[3] does, up to 256 bytes, or if nothing is there. A key of another type is left alone.

local there = redis.pcall('GETRANGE', KEYS[1], 0, 255)
if there ~= '' and there ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
