-- What there is at first: the same in every database. 10,000 patients, 50,000 prescriptions and
-- 2,000 products, made by the database itself, so that it takes no time to tell it of them.

CREATE TEMP TABLE seeds (tenant TEXT, salt INTEGER, patients INTEGER, prescriptions INTEGER, products INTEGER);
INSERT INTO seeds VALUES ('public', 1, 6000, 30000, 1200), ('globex', 2, 4000, 20000, 800);

CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY);
INSERT INTO numbers
    WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 30000)
    SELECT n FROM up;

-- Five numbers for each, scrambled: a prime's multiples, by another prime.
CREATE TEMP TABLE chances (tenant TEXT, n INTEGER, a INTEGER, b INTEGER, c INTEGER, d INTEGER, e INTEGER,
    PRIMARY KEY (tenant, n)) WITHOUT ROWID;
INSERT INTO chances
    WITH first AS (
        SELECT tenant, n, (n * 48271 + salt * 7368787) % 2147483647 * 69621 % 2147483647 AS x
        FROM seeds JOIN numbers ON n <= prescriptions
    ), second AS (SELECT tenant, n, x, x * 16807 % 2147483647 AS y FROM first)
    SELECT tenant, n, x / 7, y / 7, y * 39373 % 2147483647 / 7, x * 40692 % 2147483399 / 7,
        y * 52774 % 2147483399 / 7
    FROM second;

CREATE TEMP TABLE first_names (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO first_names (name) VALUES
    ('Ada'), ('Adam'), ('Alan'), ('Amina'), ('Anna'), ('Anton'), ('Beatriz'), ('Ben'), ('Carla'), ('Chen'),
    ('Clara'), ('Daniel'), ('Edith'), ('Elif'), ('Emil'), ('Emma'), ('Farid'), ('Fatima'), ('Frida'), ('Grace'),
    ('Hanna'), ('Henry'), ('Ida'), ('Igor'), ('Ines'), ('Ivan'), ('Jan'), ('Joana'), ('Jonas'), ('Julia'),
    ('Karim'), ('Kira'), ('Lars'), ('Lena'), ('Leo'), ('Lucia'), ('Marie'), ('Mateo'), ('Mina'), ('Nadia'),
    ('Noah'), ('Olga'), ('Omar'), ('Paula'), ('Pavel'), ('Rosa'), ('Ruth'), ('Samir'), ('Sofia'), ('Sven'),
    ('Tara'), ('Theo'), ('Tomas'), ('Uma'), ('Vera'), ('Viktor'), ('Wanda'), ('Yara'), ('Yusuf'), ('Zoë');

CREATE TEMP TABLE last_names (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO last_names (name) VALUES
    ('Abbott'), ('Ahmed'), ('Almeida'), ('Baker'), ('Bauer'), ('Berg'), ('Bianchi'), ('Brandt'), ('Brown'), ('Carter'),
    ('Castro'), ('Clarke'), ('Cohen'), ('Costa'), ('Dahl'), ('Demir'), ('Dubois'), ('Eriksen'), ('Farkas'), ('Fischer'),
    ('Garcia'), ('Green'), ('Haddad'), ('Hansen'), ('Horvat'), ('Huber'), ('Ivanova'), ('Jansen'), ('Jones'), ('Kaya'),
    ('Keller'), ('Khan'), ('Kowalski'), ('Kumar'), ('Larsen'), ('Lee'), ('Lopez'), ('Lund'), ('Martin'), ('Meyer'),
    ('Moreau'), ('Müller'), ('Nagy'), ('Nguyen'), ('Novak'), ('O''Brien'), ('Okafor'), ('Olsen'), ('Patel'), ('Petrov'),
    ('Popescu'), ('Quinn'), ('Rossi'), ('Sato'), ('Schmidt'), ('Silva'), ('Smith'), ('Smithson'), ('Tanaka'), ('Taylor'),
    ('Thomas'), ('Turner'), ('Vargas'), ('Wagner'), ('Walker'), ('Weber'), ('Wilson'), ('Wong'), ('Young'), ('Zimmer');

CREATE TEMP TABLE wards (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO wards (name) VALUES
    ('Cardiology'), ('Dermatology'), ('Emergency'), ('Geriatrics'), ('Maternity'), ('Neurology'), ('Oncology'),
    ('Orthopaedics'), ('Paediatrics'), ('Psychiatry'), ('Surgery'), ('Urology');

CREATE TEMP TABLE substances (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO substances (name) VALUES
    ('Amoxicillin'), ('Aspirin'), ('Atorvastatin'), ('Bisoprolol'), ('Cetirizine'), ('Codeine'), ('Dexamethasone'),
    ('Diclofenac'), ('Doxycycline'), ('Enalapril'), ('Furosemide'), ('Gabapentin'), ('Heparin'), ('Ibuprofen'),
    ('Insulin'), ('Levothyroxine'), ('Loratadine'), ('Metformin'), ('Metoprolol'), ('Naproxen'), ('Omeprazole'),
    ('Paracetamol'), ('Prednisolone'), ('Ramipril'), ('Salbutamol'), ('Sertraline'), ('Simvastatin'), ('Tramadol'),
    ('Warfarin'), ('Zolpidem');

INSERT INTO sample_products VALUES (1, 'Lantern', 2450), (2, 'Rope, 20 m', 1890), (3, 'Drawbridge chain', 15900);

INSERT INTO products SELECT tenant, id, name, price_cents FROM seeds, sample_products;
-- Those that are prescribed begin after 1000.
INSERT INTO products
    SELECT c.tenant, 1000 + c.n, s.name || ' ' || ((c.b % 20 + 1) * 25) || ' mg', 50 + c.c % 4950
    FROM chances c
    JOIN seeds USING (tenant)
    JOIN substances s ON s.n = c.a % 30 + 1
    WHERE c.n <= products - 3;

INSERT INTO patients
    SELECT c.tenant, c.n, f.name || ' ' || l.name, date('1925-01-01', '+' || (c.c % 36500) || ' days'), w.name
    FROM chances c
    JOIN seeds USING (tenant)
    JOIN first_names f ON f.n = c.a % 60 + 1
    JOIN last_names l ON l.n = c.b % 70 + 1
    JOIN wards w ON w.n = c.d % 12 + 1
    WHERE c.n <= patients;

INSERT INTO prescriptions
    SELECT c.tenant, c.n, 1 + c.e % patients, 1001 + c.d % (products - 3), 1 + c.a % 4, 7 * (1 + c.b % 12),
        date('2025-01-01', '+' || (c.c % 365) || ' days')
    FROM chances c
    JOIN seeds USING (tenant);

DROP TABLE seeds;
DROP TABLE numbers;
DROP TABLE chances;
DROP TABLE first_names;
DROP TABLE last_names;
DROP TABLE wards;
DROP TABLE substances;

-- Without it the planner takes a tenant for a few rows, and goes through all of them for each.
ANALYZE main;
