-- One event of one limit. KEYS: state. ARGV: instant or '', limit, cost. Gives fits, wait, left.
local s, ns = instant(ARGV[1])
local fits, wait, left = check(ARGV[2], KEYS[1], s, ns, tonumber(ARGV[3]), ARGV[1] ~= '' and 'forever' or 'while')
return { fits and 1 or 0, whole(wait), whole(left) }
