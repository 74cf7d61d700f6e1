-- A place among the connections of a user. KEYS: places. ARGV: instant or '', most, member, lease in ms.
-- Gives 1 where there was one, else 0.
local s, ns = instant(ARGV[1])
return take(KEYS[1], s, ns, tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])) and 1 or 0
