-- An attempt of an address: its ban, its failed authentications, its rate, a place among its connections, in the order
-- in which one node asks. KEYS: ban, failed, rate, places. ARGV: instant or '', limit of failures, rate, most places or
-- '', member, lease in ms. Gives a verdict (0 granted, 1 banned, 2 failures, 3 rate, 4 places), wait in ns, left.
local s, ns = instant(ARGV[1])
local banned = redis.call('PTTL', KEYS[1])
if banned > 0 then
  return { 1, whole(banned * 1e6), '-1' }
end
local fits, wait, left = check(ARGV[2], KEYS[2], s, ns, 1, false)
if not fits then
  return { 2, whole(wait), '-1' }
end
fits, wait, left = check(ARGV[3], KEYS[3], s, ns, 1, true)
if not fits then
  return { 3, whole(wait), whole(left) }
end
if ARGV[4] ~= '' and not take(KEYS[4], s, ns, tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])) then
  return { 4, '0', whole(left) }
end
return { 0, '0', whole(left) }
