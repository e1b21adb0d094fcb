-- Removes what stands under KEYS[1] if it is this lease, ARGV[1]. A key of another type holds none.

if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
