-- A failed authentication; the last that the rate allows brings the ban, and the count begins anew. KEYS: ban, failed.
-- ARGV: instant or '', limit, ban in ms or 0. Gives 1 where it brought a ban, else 0.
local s, ns = instant(ARGV[1])
local _, _, left = check(ARGV[2], KEYS[2], s, ns, 1, true)
if left == 0 and ARGV[3] ~= '0' then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
  return 1
end
return 0
