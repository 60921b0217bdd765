"""PostgreSQL's functions and operators over the API's types, as its system catalogue lists them.

Written from `pg_proc` and `pg_operator` of PostgreSQL 18. Each line is a name and its signatures,
`(arguments)result` without blanks; `?` marks an argument that may be left out, `*` one that may
be repeated. Set-returning functions are not in it: none may be called.
"""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Signature:
    """One overload of a function or operator.

    :param required: how many arguments it needs at least
    :param repeats: whether the last argument may come any number of times, from once
    """

    arguments: tuple[str, ...]
    result: str
    required: int
    repeats: bool

    def taking(self, count: int) -> tuple[str, ...] | None:
        """The argument types for a call with `count` arguments; None where that cannot be."""
        if self.repeats and count >= len(self.arguments):
            more = count - len(self.arguments)
            return self.arguments + self.arguments[-1:] * more
        if self.required <= count <= len(self.arguments):
            return self.arguments[:count]
        return None


def _read(text: str) -> dict[str, tuple[Signature, ...]]:
    entries = re.split(r"\n(?! )", text.strip())
    return {
        name: tuple(map(_signature, signatures))
        for name, *signatures in (entry.split() for entry in entries)
    }


def _signature(text: str) -> Signature:
    listed, result = text[1:].split(")")
    arguments = listed.split(",") if listed else []
    return Signature(
        tuple(argument.strip("?*") for argument in arguments),
        result,
        sum(1 for argument in arguments if not argument.endswith("?")),
        bool(arguments) and arguments[-1].startswith("*"),
    )


_AGGREGATES_WORDS = """
any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp
cume_dist dense_rank every json_agg json_object_agg jsonb_agg jsonb_object_agg max min mode
percent_rank percentile_cont percentile_disc rank regr_avgx regr_avgy regr_count regr_intercept
regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum
var_pop var_samp variance
"""

AGGREGATES = frozenset(_AGGREGATES_WORDS.split())

FUNCTIONS = _read(
    """
abs (float4)float4 (float8)float8 (int8)int8 (int4)int4 (int2)int2 (numeric)numeric
acos (float8)float8
acosd (float8)float8
acosh (float8)float8
age (timestamptz,timestamptz)interval (timestamptz)interval (timestamp,timestamp)interval
    (timestamp)interval
any_value (anyelement)anyelement
array_agg (anynonarray)anyarray (anyarray)anyarray
array_append (anycompatiblearray,anycompatible)anycompatiblearray
array_cat (anycompatiblearray,anycompatiblearray)anycompatiblearray
array_fill (anyelement,_int4)anyarray (anyelement,_int4,_int4)anyarray
array_length (anyarray,int4)int4
array_lower (anyarray,int4)int4
array_ndims (anyarray)int4
array_position (anycompatiblearray,anycompatible)int4
    (anycompatiblearray,anycompatible,int4)int4
array_positions (anycompatiblearray,anycompatible)_int4
array_prepend (anycompatible,anycompatiblearray)anycompatiblearray
array_remove (anycompatiblearray,anycompatible)anycompatiblearray
array_replace (anycompatiblearray,anycompatible,anycompatible)anycompatiblearray
array_reverse (anyarray)anyarray
array_sample (anyarray,int4)anyarray
array_shuffle (anyarray)anyarray
array_sort (anyarray)anyarray (anyarray,bool)anyarray (anyarray,bool,bool)anyarray
array_to_json (anyarray)json (anyarray,bool)json
array_to_string (anyarray,text,text)text (anyarray,text)text
array_upper (anyarray,int4)int4
asin (float8)float8
asind (float8)float8
asinh (float8)float8
atan (float8)float8
atan2 (float8,float8)float8
atan2d (float8,float8)float8
atand (float8)float8
atanh (float8)float8
avg (int8)numeric (int4)numeric (int2)numeric (numeric)numeric (float4)float8 (float8)float8
    (interval)interval
bit_and (int2)int2 (int4)int4 (int8)int8
bit_length (text)int4
bit_or (int2)int2 (int4)int4 (int8)int8
bit_xor (int2)int2 (int4)int4 (int8)int8
bool_and (bool)bool
bool_or (bool)bool
btrim (text,text)text (text)text
cardinality (anyarray)int4
casefold (text)text
cbrt (float8)float8
ceil (numeric)numeric (float8)float8
ceiling (numeric)numeric (float8)float8
char_length (text)int4
character_length (text)int4
chr (int4)text
clock_timestamp ()timestamptz
concat (*any)text
concat_ws (text,*any)text
corr (float8,float8)float8
cos (float8)float8
cosd (float8)float8
cosh (float8)float8
cot (float8)float8
cotd (float8)float8
count (any)int8 ()int8
covar_pop (float8,float8)float8
covar_samp (float8,float8)float8
cume_dist ()float8 (*any)float8
date_bin (interval,timestamp,timestamp)timestamp (interval,timestamptz,timestamptz)timestamptz
date_part (text,timestamptz)float8 (text,interval)float8 (text,date)float8 (text,time)float8
    (text,timestamp)float8
date_pli (date,int4)date
date_smaller (date,date)date
date_trunc (text,timestamptz)timestamptz (text,interval)interval
    (text,timestamptz,text)timestamptz (text,timestamp)timestamp
degrees (float8)float8
dense_rank ()int8 (*any)int8
div (numeric,numeric)numeric
erf (float8)float8
erfc (float8)float8
every (bool)bool
exp (float8)float8 (numeric)numeric
extract (text,date)numeric (text,time)numeric (text,timestamp)numeric (text,timestamptz)numeric
    (text,interval)numeric
factorial (int8)numeric
first_value (anyelement)anyelement
floor (numeric)numeric (float8)float8
format (text,*any)text (text)text
gamma (float8)float8
gcd (int4,int4)int4 (int8,int8)int8 (numeric,numeric)numeric
gen_random_uuid ()uuid
initcap (text)text
isfinite (date)bool (timestamptz)bool (interval)bool (timestamp)bool
json_agg (anyelement)json
json_array_element (json,int4)json
json_array_element_text (json,int4)text
json_array_length (json)int4
json_build_array (*any)json ()json
json_build_object (*any)json ()json
json_extract_path (json,*text)json
json_extract_path_text (json,*text)text
json_object (_text)json (_text,_text)json
json_object_agg (any,any)json
json_strip_nulls (json,bool?)json
json_typeof (json)text
jsonb_agg (anyelement)jsonb
jsonb_array_element (jsonb,int4)jsonb
jsonb_array_element_text (jsonb,int4)text
jsonb_array_length (jsonb)int4
jsonb_build_array (*any)jsonb ()jsonb
jsonb_build_object (*any)jsonb ()jsonb
jsonb_extract_path (jsonb,*text)jsonb
jsonb_extract_path_text (jsonb,*text)text
jsonb_insert (jsonb,_text,jsonb,bool?)jsonb
jsonb_object (_text)jsonb (_text,_text)jsonb
jsonb_object_agg (any,any)jsonb
jsonb_pretty (jsonb)text
jsonb_set (jsonb,_text,jsonb,bool?)jsonb
jsonb_strip_nulls (jsonb,bool?)jsonb
jsonb_typeof (jsonb)text
justify_days (interval)interval
justify_hours (interval)interval
justify_interval (interval)interval
lag (anyelement)anyelement (anyelement,int4)anyelement
    (anycompatible,int4,anycompatible)anycompatible
last_value (anyelement)anyelement
lcm (int4,int4)int4 (int8,int8)int8 (numeric,numeric)numeric
lead (anyelement)anyelement (anyelement,int4)anyelement
    (anycompatible,int4,anycompatible)anycompatible
left (text,int4)text
length (text)int4
lgamma (float8)float8
ln (float8)float8 (numeric)numeric
log (float8)float8 (numeric,numeric)numeric (numeric)numeric
log10 (float8)float8 (numeric)numeric
lower (text)text
lpad (text,int4,text)text (text,int4)text
ltrim (text,text)text (text)text
make_date (int4,int4,int4)date
make_interval (int4?,int4?,int4?,int4?,int4?,int4?,float8?)interval
make_time (int4,int4,float8)time
make_timestamp (int4,int4,int4,int4,int4,float8)timestamp
make_timestamptz (int4,int4,int4,int4,int4,float8)timestamptz
    (int4,int4,int4,int4,int4,float8,text)timestamptz
max (anyarray)anyarray (int8)int8 (int4)int4 (int2)int2 (float4)float4 (float8)float8 (date)date
    (time)time (timestamp)timestamp (timestamptz)timestamptz (interval)interval (text)text
    (numeric)numeric
md5 (text)text
min (anyarray)anyarray (int8)int8 (int4)int4 (int2)int2 (float4)float4 (float8)float8 (date)date
    (time)time (timestamp)timestamp (timestamptz)timestamptz (interval)interval (text)text
    (numeric)numeric
min_scale (numeric)int4
mod (int2,int2)int2 (int4,int4)int4 (int8,int8)int8 (numeric,numeric)numeric
mode (anyelement)anyelement
now ()timestamptz
nth_value (anyelement,int4)anyelement
ntile (int4)int4
num_nonnulls (*any)int4
num_nulls (*any)int4
octet_length (text)int4
overlay (text,text,int4,int4)text (text,text,int4)text
parse_ident (text,bool?)_text
percent_rank ()float8 (*any)float8
percentile_cont (float8,float8)float8 (float8,interval)interval (_float8,float8)_float8
    (_float8,interval)_interval
percentile_disc (float8,anyelement)anyelement (_float8,anyelement)anyarray
pi ()float8
position (text,text)int4
pow (float8,float8)float8 (numeric,numeric)numeric
power (float8,float8)float8 (numeric,numeric)numeric
quote_ident (text)text
quote_literal (text)text (anyelement)text
quote_nullable (text)text (anyelement)text
radians (float8)float8
random ()float8 (int4,int4)int4 (int8,int8)int8 (numeric,numeric)numeric
random_normal (float8?,float8?)float8
rank ()int8 (*any)int8
regexp_count (text,text)int4 (text,text,int4)int4 (text,text,int4,text)int4
regexp_instr (text,text)int4 (text,text,int4)int4 (text,text,int4,int4)int4
    (text,text,int4,int4,int4)int4 (text,text,int4,int4,int4,text)int4
    (text,text,int4,int4,int4,text,int4)int4
regexp_like (text,text)bool (text,text,text)bool
regexp_match (text,text)_text (text,text,text)_text
regexp_replace (text,text,text)text (text,text,text,text)text
    (text,text,text,int4,int4,text)text (text,text,text,int4,int4)text (text,text,text,int4)text
regexp_split_to_array (text,text)_text (text,text,text)_text
regexp_substr (text,text)text (text,text,int4)text (text,text,int4,int4)text
    (text,text,int4,int4,text)text (text,text,int4,int4,text,int4)text
regr_avgx (float8,float8)float8
regr_avgy (float8,float8)float8
regr_count (float8,float8)int8
regr_intercept (float8,float8)float8
regr_r2 (float8,float8)float8
regr_slope (float8,float8)float8
regr_sxx (float8,float8)float8
regr_sxy (float8,float8)float8
regr_syy (float8,float8)float8
repeat (text,int4)text
replace (text,text,text)text
reverse (text)text
right (text,int4)text
round (float8)float8 (numeric,int4)numeric (numeric)numeric
row_number ()int8
rpad (text,int4,text)text (text,int4)text
rtrim (text,text)text (text)text
scale (numeric)int4
sign (numeric)numeric (float8)float8
sin (float8)float8
sind (float8)float8
sinh (float8)float8
split_part (text,text,int4)text
sqrt (float8)float8 (numeric)numeric
starts_with (text,text)bool
statement_timestamp ()timestamptz
stddev (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8 (numeric)numeric
stddev_pop (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8
    (numeric)numeric
stddev_samp (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8
    (numeric)numeric
string_agg (text,text)text
string_to_array (text,text,text)_text (text,text)_text
strpos (text,text)int4
substr (text,int4,int4)text (text,int4)text
substring (text,int4,int4)text (text,int4)text (text,text)text (text,text,text)text
sum (int8)numeric (int4)int8 (int2)int8 (float4)float4 (float8)float8 (interval)interval
    (numeric)numeric
tan (float8)float8
tand (float8)float8
tanh (float8)float8
text (bool)text
timeofday ()text
timezone (interval,timestamptz)timestamp (text,timestamptz)timestamp (text,timestamp)timestamptz
    (interval,timestamp)timestamptz (timestamptz)timestamp (timestamp)timestamptz
to_ascii (text)text (text,int4)text
to_bin (int4)text (int8)text
to_char (interval,text)text (timestamptz,text)text (numeric,text)text (int4,text)text
    (int8,text)text (float4,text)text (float8,text)text (timestamp,text)text
to_date (text,text)date
to_hex (int4)text (int8)text
to_json (anyelement)json
to_jsonb (anyelement)jsonb
to_number (text,text)numeric
to_oct (int4)text (int8)text
to_timestamp (float8)timestamptz (text,text)timestamptz
transaction_timestamp ()timestamptz
translate (text,text,text)text
trim_array (anyarray,int4)anyarray
trim_scale (numeric)numeric
trunc (float8)float8 (numeric,int4)numeric (numeric)numeric
unistr (text)text
upper (text)text
uuid_extract_version (uuid)int2
var_pop (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8 (numeric)numeric
var_samp (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8
    (numeric)numeric
variance (int8)numeric (int4)numeric (int2)numeric (float4)float8 (float8)float8
    (numeric)numeric
width_bucket (float8,float8,float8,int4)int4 (numeric,numeric,numeric,int4)int4
    (anycompatible,anycompatiblearray)int4
"""
)

_COMPARISON = """
= (int4,int8)bool (bool,bool)bool (int2,int2)bool (int4,int4)bool (text,text)bool
    (int8,int8)bool (int8,int4)bool (int2,int4)bool (int4,int2)bool (float4,float4)bool
    (float8,float8)bool (anyarray,anyarray)bool (date,date)bool (time,time)bool
    (float4,float8)bool (float8,float4)bool (timestamptz,timestamptz)bool
    (interval,interval)bool (numeric,numeric)bool (int2,int8)bool (int8,int2)bool
    (timestamp,timestamp)bool (date,timestamp)bool (date,timestamptz)bool (timestamp,date)bool
    (timestamptz,date)bool (timestamp,timestamptz)bool (timestamptz,timestamp)bool
    (uuid,uuid)bool (jsonb,jsonb)bool
""".strip()[1:]

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")

OPERATORS = {
    **_read("\n".join(f"{sign}{_COMPARISON}" for sign in COMPARISONS)),
    **_read(
        """
!~ (text,text)bool
!~* (text,text)bool
!~~ (text,text)bool
!~~* (text,text)bool
# (int2,int2)int2 (int4,int4)int4 (int8,int8)int8
#- (jsonb,_text)jsonb
#> (jsonb,_text)jsonb (json,_text)json
#>> (jsonb,_text)text (json,_text)text
% (int8,int8)int8 (int2,int2)int2 (int4,int4)int4 (numeric,numeric)numeric
& (int2,int2)int2 (int4,int4)int4 (int8,int8)int8
&& (anyarray,anyarray)bool
* (int4,int4)int4 (int2,int2)int2 (int2,int4)int4 (int4,int2)int4 (float4,float4)float4
    (float8,float8)float8 (int8,int8)int8 (int8,int4)int8 (int4,int8)int8 (int8,int2)int8
    (int2,int8)int8 (float4,float8)float8 (float8,float4)float8 (interval,float8)interval
    (float8,interval)interval (numeric,numeric)numeric
+ (int2,int2)int2 (int4,int4)int4 (int2,int4)int4 (int4,int2)int4 (float4,float4)float4
    (float8,float8)float8 (int8,int8)int8 (int8,int4)int8 (int4,int8)int8 (int8,int2)int8
    (int2,int8)int8 (date,interval)timestamp (date,int4)date (float4,float8)float8
    (float8,float4)float8 (timestamptz,interval)timestamptz (interval,interval)interval
    (date,time)timestamp (time,date)timestamp (numeric,numeric)numeric (time,interval)time
    (interval,time)time (int8)int8 (int2)int2 (int4)int4 (float4)float4 (float8)float8
    (numeric)numeric (timestamp,interval)timestamp (interval,date)timestamp
    (interval,timestamp)timestamp (interval,timestamptz)timestamptz (int4,date)date
- (int8)int8 (int2,int2)int2 (int4,int4)int4 (int2,int4)int4 (int4,int2)int4 (int4)int4
    (int2)int2 (float4)float4 (float8)float8 (float4,float4)float4 (float8,float8)float8
    (int8,int8)int8 (int8,int4)int8 (int4,int8)int8 (int8,int2)int8 (int2,int8)int8
    (date,interval)timestamp (date,date)int4 (date,int4)date (float4,float8)float8
    (float8,float4)float8 (timestamptz,timestamptz)interval (timestamptz,interval)timestamptz
    (interval)interval (interval,interval)interval (time,time)interval (numeric)numeric
    (numeric,numeric)numeric (time,interval)time (timestamp,timestamp)interval
    (timestamp,interval)timestamp (jsonb,text)jsonb (jsonb,int4)jsonb (jsonb,_text)jsonb
-> (jsonb,text)jsonb (jsonb,int4)jsonb (json,text)json (json,int4)json
->> (jsonb,text)text (jsonb,int4)text (json,text)text (json,int4)text
/ (int2,int2)int2 (int4,int4)int4 (int2,int4)int4 (int4,int2)int4 (float4,float4)float4
    (float8,float8)float8 (int8,int8)int8 (int8,int4)int8 (int4,int8)int8 (int8,int2)int8
    (int2,int8)int8 (float4,float8)float8 (float8,float4)float8 (interval,float8)interval
    (numeric,numeric)numeric
<< (int2,int4)int2 (int4,int4)int4 (int8,int4)int8
<@ (anyarray,anyarray)bool (jsonb,jsonb)bool
>> (int2,int4)int2 (int4,int4)int4 (int8,int4)int8
? (jsonb,text)bool
?& (jsonb,_text)bool
?| (jsonb,_text)bool
@ (int8)int8 (float4)float4 (float8)float8 (int2)int2 (int4)int4 (numeric)numeric
@> (anyarray,anyarray)bool (jsonb,jsonb)bool
^ (float8,float8)float8 (numeric,numeric)numeric
^@ (text,text)bool
| (int2,int2)int2 (int4,int4)int4 (int8,int8)int8
|/ (float8)float8
|| (anycompatiblearray,anycompatible)anycompatiblearray
    (anycompatible,anycompatiblearray)anycompatiblearray
    (anycompatiblearray,anycompatiblearray)anycompatiblearray (text,text)text
    (text,anynonarray)text (anynonarray,text)text (jsonb,jsonb)jsonb
||/ (float8)float8
~ (text,text)bool (int2)int2 (int4)int4 (int8)int8
~* (text,text)bool
~~ (text,text)bool
~~* (text,text)bool
"""
    ),
}
