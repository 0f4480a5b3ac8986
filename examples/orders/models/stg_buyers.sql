select buyer, tier, synced_at, case when buyer is null then 'buyer is null' end as problem
from {{ source('shop', 'buyers') }}
