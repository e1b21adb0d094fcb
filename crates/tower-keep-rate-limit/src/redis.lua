-- Decides up to 8 limits at once, all or nothing, by the server's own clock.
--
-- KEYS[i]: the counter of limit i; all in one slot.
-- ARGV[3i-2], ARGV[3i-1], ARGV[3i]: its limit, its window and its key's life, both in ms.
-- Answers {allowed, remaining_1, resets_in_ms_1, remaining_2, ...}.
--
-- A denial consumes nothing and extends nothing, but gives a counter that lost its expiry a new
-- one, so that nobody is locked out for ever.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local values = redis.call('MGET', unpack(KEYS))
local windows, allowed = {}, true

for i, key in ipairs(KEYS) do
  local window = fixed_window(key, values[i], tonumber(ARGV[3 * i - 1]), now)
  if window[1] >= tonumber(ARGV[3 * i - 2]) then allowed = false end
  windows[i] = window
end

local reply = { allowed and 1 or 0 }
for i, key in ipairs(KEYS) do
  local count, start, stale = unpack(windows[i])
  local limit, length, life = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local expires_in = string.format('%.0f', life - (now - start))
  if allowed then count = count + 1 end
  if allowed or stale then
    redis.call('SET', key, string.format('%.0f %.0f', count, start), 'PX', expires_in)
  elseif values[i] and redis.call('PTTL', key) == -1 then
    redis.call('PEXPIRE', key, expires_in)
  end
  reply[2 * i] = math.max(limit - count, 0)
  reply[2 * i + 1] = start + length - now
end
return reply
