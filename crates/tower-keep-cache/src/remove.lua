-- Removes the entry KEYS[1], and publishes on the channel ARGV[1] the message ARGV[2] that says so.

local removed = redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return removed
