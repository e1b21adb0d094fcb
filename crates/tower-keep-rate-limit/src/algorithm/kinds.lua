-- Which algorithm a limit has, by its letter: `f`ixed window, `s`liding window, `g`cra. Each is a
-- function that makes its functions, because a script makes all of its own whenever it is run:
--   at(limit, key, value, now, now_us)  reads what the limit stands at into it
--   wait(limit, now)                    how many ms until a cost that can fit does: 0 now
--   add(limit, number)                  counts so many more, or less
--   spell(limit, now, now_us)           what is kept, and for how many ms at least
--   tell(limit, now)                    how many more fit, and in how many ms there is nothing
--                                       more to wait for

local algorithms = { f = fixed_window, s = sliding_window, g = gcra }
local made = { f = false, s = false, g = false }

local function of(kind)
  if not made[kind] then made[kind] = algorithms[kind]() end
  return made[kind]
end
