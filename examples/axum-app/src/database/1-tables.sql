-- What the program keeps. Whose a row is stands first in each key: no tenant's ids are another's.

-- Which database this is. A copy is made once for each, so that what is cached of one is never
-- taken for what is in another.
CREATE TABLE identity (name TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(8))));

CREATE TABLE patients (
    tenant TEXT NOT NULL,
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    born TEXT NOT NULL,
    ward TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE products (
    tenant TEXT NOT NULL,
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- What a tenant has until it changes something.
CREATE TABLE sample_products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price_cents INTEGER NOT NULL
) STRICT;

CREATE TABLE prescriptions (
    tenant TEXT NOT NULL,
    id INTEGER NOT NULL,
    patient INTEGER NOT NULL,
    product INTEGER NOT NULL,
    per_day INTEGER NOT NULL,
    days INTEGER NOT NULL,
    issued TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, patient) REFERENCES patients,
    FOREIGN KEY (tenant, product) REFERENCES products
) STRICT, WITHOUT ROWID;

CREATE INDEX prescriptions_of_patients ON prescriptions (tenant, patient);
