-- What all algorithms use. Functions are looked up by name whenever they are called, so those that
-- are called often have local names.

local MAX_COUNT = 9007199254740991 -- 2^53 - 1, the last integer that a double holds exactly

local call, format, match, tonumber = redis.call, string.format, string.match, tonumber
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
