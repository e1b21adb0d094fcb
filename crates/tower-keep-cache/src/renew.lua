-- Has what stands under KEYS[1] last ARGV[2] milliseconds from now, if it is this lease, ARGV[1]. A
-- key of another type holds none.

if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
