-- The sliding window counter: this window's count, and the last one's as far as it still reaches
-- into the time that lies one window back. Twin of sliding_window.rs.
--
-- A counter is kept as text, `count window_start_ms count_of_the_window_before`. Whatever else
-- stands under the key counts as nothing.

local function sliding_window()
  -- Reads what `limit` stands at into it: count, start, previous.
  local function at(limit, _, value, now)
    limit.count, limit.start, limit.previous = 0, now, 0
    if not value then return end
    local length = limit.window
    local count, start, previous = match(value, '^(%d+) (%d+) (%d+)$')
    if not count then return end
    count, start = min(tonumber(count), MAX_COUNT), tonumber(start)
    previous = min(tonumber(previous), MAX_COUNT)
    if start > now then
      limit.count, limit.previous = count, previous
      return true
    elseif now - start < length then
      limit.count, limit.start, limit.previous = count, start, previous
    elseif now - start < 2 * length then
      limit.count, limit.start, limit.previous = 0, start + length, count
    end
  end

  -- How much of `count` still counts while `left` ms of it reach back.
  local function weight(count, left, length)
    return ceil(count * left / length)
  end

  -- The most ms that may be left for `count` to weigh no more than `room`.
  local function most_left(count, length, room)
    if count == 0 then return length end
    local left = min(floor(room * length / count), length)
    if left > 0 and weight(count, left, length) > room then left = left - 1 end
    return left
  end

  local function used(limit, now)
    local left = limit.start + limit.window - now
    return limit.count + weight(limit.previous, left, limit.window)
  end

  local function wait(limit, cost, now)
    local length, room = limit.window, limit.quota - cost
    if used(limit, now) <= room then return 0 end
    local left = limit.start + length - now
    if limit.count <= room then
      return left - most_left(limit.previous, length, room - limit.count)
    end
    return left + length - most_left(limit.count, length, room)
  end

  local function add(limit, number)
    limit.count = max(0, min(limit.count + number, MAX_COUNT))
  end

  local function spell(limit, now)
    local text = format('%.0f %.0f %.0f', limit.count, limit.start, limit.previous)
    return text, limit.life - (now - limit.start)
  end

  local function tell(limit, now)
    local used = used(limit, now)
    return max(limit.quota - used, 0), limit.start + limit.window - now
  end

  return { at = at, wait = wait, add = add, spell = spell, tell = tell }
end
