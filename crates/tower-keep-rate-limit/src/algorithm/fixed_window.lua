-- The fixed window, anchored at a group's first hit. Twin of fixed_window.rs.
--
-- A counter is kept as text, `count window_start_ms`. The window ends by arithmetic, never by
-- expiry. A bare integer is somebody's own INCR: its expiry tells where its window ends. Whatever
-- else stands under the key counts as nothing.

local function fixed_window()
  -- Reads what `limit` stands at into it: count, start.
  local function at(limit, key, value, now)
    limit.count, limit.start = 0, now
    if not value then return end
    local length = limit.window
    local count, start = match(value, '^(%d+) (%d+)$')
    if count then
      count, start = min(tonumber(count), MAX_COUNT), tonumber(start)
      if start > now then
        limit.count = count
        return true
      elseif now - start < length then
        limit.count, limit.start = count, start
      end
    elseif match(value, '^%d+$') then
      count = min(tonumber(value), MAX_COUNT)
      local expiry = call('PTTL', key)
      if expiry == -1 or expiry > length then
        limit.count = count
        return true
      elseif expiry > 0 then
        -- In its last millisecond a key is still there, with nothing left to wait for.
        limit.count, limit.start = count, now - (length - expiry)
      end
    end
  end

  local function wait(limit, cost, now)
    return limit.count + cost > limit.quota and limit.start + limit.window - now or 0
  end

  -- Adds to the count, or takes from it; never below nothing.
  local function add(limit, number)
    limit.count = max(0, min(limit.count + number, MAX_COUNT))
  end

  -- What is kept, and for how many ms at least.
  local function spell(limit, now)
    return format('%.0f %.0f', limit.count, limit.start), limit.life - (now - limit.start)
  end

  local function tell(limit, now)
    return max(limit.quota - limit.count, 0), limit.start + limit.window - now
  end

  return { at = at, wait = wait, add = add, spell = spell, tell = tell }
end
