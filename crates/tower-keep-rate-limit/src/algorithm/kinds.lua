-- Which algorithm a limit has, by its letter: `f`ixed window, `s`liding window, `g`cra. Each is a
-- function that makes its functions, because a script makes all of its own whenever it is run:
--   at(limit, key, value, now, now_us)  reads what the limit stands at into it; true if that is not
--                                       what is kept, which is to be written anew
--   wait(limit, cost, now)              how many ms until a cost that can fit does: 0 now
--   add(limit, number)                  counts so many more, or less
--   spell(limit, now, now_us)           what is kept, and for how many ms at least
--   tell(limit, now)                    how many more fit, and in how many ms there is nothing
--                                       more to wait for

local algorithms = { f = fixed_window, s = sliding_window, g = gcra }
local made = {}

-- By its letter, whose case does not matter.
local function of(kind)
  local by = made[kind]
  if not by then
    by = algorithms[string.lower(kind)]()
    made[kind] = by
  end
  return by
end
