-- Makes a tenant's generations, with the epoch ARGV[1] and for ARGV[2] ms, if they are not there;
-- answers with all their fields. They are small, and what a full server takes after the first
-- write of a script it does not refuse: so they can be made there as well.

if not head() then write(ARGV[1], 0, 0, 0, ARGV[2]) end
return redis.call('HGETALL', KEY)
