-- Work for an interpreter: numbers, tables, strings, closures, sorting. One round takes a few milliseconds.
local rounds = tonumber(arg[1])

local function sieve(limit)
    local composite, primes = {}, 0
    for i = 2, limit do
        if not composite[i] then
            primes = primes + 1
            for j = i * i, limit, i do
                composite[j] = true
            end
        end
    end
    return primes
end

local function words(count)
    local seed, uses, parts = 1, {}, {}
    for i = 1, count do
        seed = (seed * 1103515245 + 12345) % 2147483648
        local word = string.format("%x", seed // 65536 % 300)
        uses[word] = (uses[word] or 0) + 1
        parts[i] = word
    end
    local names = {}
    for name in pairs(uses) do
        names[#names + 1] = name
    end
    table.sort(names, function(a, b) return uses[a] > uses[b] or (uses[a] == uses[b] and a < b) end)
    local text = table.concat(parts, " ")
    return #names, (select(2, text:gsub("%f[%w]1%w*", "<%0>")))
end

local function counter()
    local n = 0
    return function(by)
        n = n + by
        return n
    end
end

for _ = 1, rounds do
    assert(sieve(5000) == 669)
    local names, ones = words(1500)
    assert(names > 290 and names <= 300 and ones > 300)
    local count, x = counter(), 0.0
    for i = 1, 5000 do
        count(i % 7)
        x = x + math.sin(i) / i
    end
    assert(count(0) == 14997 and x > 1.0 and x < 1.1)
end
