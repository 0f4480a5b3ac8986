select buyer, tier, synced_at, case when buyer is null then 'no buyer' end as problem
from {{ source('shop', 'buyers') }}
