(* Finite sums and maxima of real numbers, and probability distributions on finite sets. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Definition Sum (I : finType) (f : I -> R) : R := \big[Rplus/0]_(i : I) f i.

(* The maximum over a finite set; 0 over the empty one, which never occurs in a statement. *)
Definition Largest (I : finType) (f : I -> R) : R :=
  if enum I is i :: others then foldr (fun j m => Rmax (f j) m) (f i) others else 0.

Definition span (I : finType) (f : I -> R) : R := Largest f + Largest (fun i => - f i).

Record dist (I : finType) := Dist {
  prob :> I -> R;
  prob_ge0 : forall i, 0 <= prob i;
  prob_sum1 : Sum prob = 1 }.

Definition inner (I : finType) (x : dist I) (f : I -> R) : R := Sum (fun a => x a * f a).

(* ---- sums ------------------------------------------------------------------------------------------------- *)

Lemma RplusA : associative Rplus. Proof. by move=> x y z; ring. Qed.
Lemma RplusC : commutative Rplus. Proof. by move=> x y; ring. Qed.
Lemma Rplus0l : left_id 0 Rplus. Proof. by move=> x; ring. Qed.
Lemma Rplus0r : right_id 0 Rplus. Proof. by move=> x; ring. Qed.
Lemma Rmult0l : left_zero 0 Rmult. Proof. by move=> x; ring. Qed.
Lemma Rmult0r : right_zero 0 Rmult. Proof. by move=> x; ring. Qed.
Lemma RmultDl : left_distributive Rmult Rplus. Proof. by move=> x y z; ring. Qed.
Lemma RmultDr : right_distributive Rmult Rplus. Proof. by move=> x y z; ring. Qed.
Canonical Rplus_monoid := Monoid.Law RplusA Rplus0l Rplus0r.
Canonical Rplus_comoid := Monoid.ComLaw RplusC.
Canonical Rmult_mulmonoid := Monoid.MulLaw Rmult0l Rmult0r.
Canonical Rplus_addoid := Monoid.AddLaw RmultDl RmultDr.

Section Sums.
Variables I J : finType.
Implicit Types f g : I -> R.

Lemma sum_ext f g : (forall i, f i = g i) -> Sum f = Sum g.
Proof. by move=> fg; rewrite /Sum; apply: eq_bigr. Qed.

Lemma sumD f g : Sum (fun i => f i + g i) = Sum f + Sum g.
Proof. exact: big_split. Qed.

Lemma sumZl c f : Sum (fun i => c * f i) = c * Sum f.
Proof. by rewrite /Sum big_distrr. Qed.

Lemma sumZr c f : Sum (fun i => f i * c) = Sum f * c.
Proof. by rewrite /Sum big_distrl. Qed.

Lemma sumB f g : Sum (fun i => f i - g i) = Sum f - Sum g.
Proof.
rewrite (sum_ext (g := fun i => f i + (-1) * g i)); last by move=> i; ring.
by rewrite sumD sumZl; ring.
Qed.

Lemma sum_exch (h : I -> J -> R) :
  Sum (fun i => Sum (fun j => h i j)) = Sum (fun j => Sum (fun i => h i j)).
Proof. exact: exchange_big. Qed.

Lemma sum_le f g : (forall i, f i <= g i) -> Sum f <= Sum g.
Proof.
move=> fg; rewrite /Sum; apply: (big_ind2 (fun x y => x <= y)) => //; first lra.
by move=> x1 x2 y1 y2 ? ?; lra.
Qed.

Lemma sum_0 : Sum (fun _ : I => 0) = 0.
Proof. by rewrite /Sum big1. Qed.

Lemma sum_ge0 f : (forall i, 0 <= f i) -> 0 <= Sum f.
Proof. by move=> f0; rewrite -sum_0; apply: sum_le. Qed.

Lemma sum_D1 f (i : I) : Sum f = f i + \big[Rplus/0]_(j : I | j != i) f j.
Proof. by rewrite /Sum (bigD1 i). Qed.

Lemma sum_ge_term f (i : I) : (forall j, 0 <= f j) -> f i <= Sum f.
Proof.
move=> f0; rewrite (sum_D1 f i).
suff: 0 <= \big[Rplus/0]_(j : I | j != i) f j by lra.
apply: (big_ind (fun x => 0 <= x)) => //; first lra.
by move=> x y ? ?; lra.
Qed.

Lemma sum_eq0 f : (forall i, 0 <= f i) -> Sum f = 0 -> forall i, f i = 0.
Proof. by move=> f0 s0 i; have := f0 i; have := sum_ge_term i f0; lra. Qed.

Lemma sum_pos f : (forall i, 0 < f i) -> inhabited I -> 0 < Sum f.
Proof.
move=> f0 [i0]; have := f0 i0.
by have := @sum_ge_term f i0 (fun j => Rlt_le _ _ (f0 j)); lra.
Qed.

Lemma sum_1 f (i : I) : (forall j, j != i -> f j = 0) -> Sum f = f i.
Proof. by move=> f0; rewrite (sum_D1 f i) big1 //; ring. Qed.

Lemma sum_const c : Sum (fun _ : I => c) = INR #|I| * c.
Proof.
rewrite /Sum big_const; elim: #|I| => [|n IH]; first by rewrite /=; ring.
by rewrite iterS IH S_INR; ring.
Qed.

Lemma sum_abs_le f : Rabs (Sum f) <= Sum (fun i => Rabs (f i)).
Proof.
rewrite /Sum; apply: (big_ind2 (fun x y => Rabs x <= y)).
- by rewrite Rabs_R0; lra.
- by move=> x1 x2 y1 y2 h1 h2; have := Rabs_triang x1 y1; lra.
- by move=> i _; lra.
Qed.

End Sums.

Lemma sum_bool (f : bool_finType -> R) : Sum f = f true + f false.
Proof. exact: big_bool. Qed.

Lemma sum_unit (f : unit_finType -> R) : Sum f = f tt.
Proof. by rewrite (sum_1 (i := tt)) //; case. Qed.

(* Limits pass through finite sums. *)
Lemma sum_cv (I : finType) (u : nat -> I -> R) (l : I -> R) :
  (forall i, Un_cv (fun k => u k i) (l i)) -> Un_cv (fun k => Sum (u k)) (Sum l).
Proof.
move=> H; rewrite /Sum; elim: (index_enum I) => [|i s IH].
- have -> : \big[Rplus/0]_(i <- [::]) l i = 0 by rewrite big_nil.
  move=> e e0; exists 0%N => n _; rewrite big_nil /R_dist Rminus_diag_eq // Rabs_R0 //.
- rewrite big_cons.
  have E k : \big[Rplus/0]_(j <- i :: s) u k j
           = u k i + \big[Rplus/0]_(j <- s) u k j by rewrite big_cons.
  move=> e e0; have [N HN] := CV_plus _ _ _ _ (H i) IH e e0.
  by exists N => n nN; rewrite E; apply: HN.
Qed.

(* ---- maxima ------------------------------------------------------------------------------------------------ *)

Section Maxima.
Variable I : finType.
Implicit Types f g : I -> R.

Lemma largest_ge f i : f i <= Largest f.
Proof.
have: i \in enum I by rewrite mem_enum.
rewrite /Largest; case: (enum I) => [|j l] //; rewrite inE => /orP[/eqP->|].
  elim: l => [|k l IH] /=; first lra.
  by apply: Rle_trans IH _; apply: Rmax_r.
elim: l => [|k l IH] //=; rewrite inE => /orP[/eqP->|il]; first exact: Rmax_l.
by apply: Rle_trans (IH il) _; apply: Rmax_r.
Qed.

Lemma largest_attained f : inhabited I -> exists i, Largest f = f i.
Proof.
move=> [i]; have: i \in enum I by rewrite mem_enum.
rewrite /Largest; case: (enum I) => [|j l] // _ {i}; elim: l => [|k l [i IH]] /=; first by exists j.
by rewrite IH /Rmax; case: Rle_dec => _; [exists i | exists k].
Qed.

Lemma largest_le f c : inhabited I -> (forall i, f i <= c) -> Largest f <= c.
Proof. by move=> inh H; have [i ->] := largest_attained f inh. Qed.

Lemma largest_ge0 f : (forall i, 0 <= f i) -> 0 <= Largest f.
Proof.
move=> f0; rewrite /Largest; case: (enum I) => [|i l]; first by lra.
by elim: l => [|k l IH] //=; apply: Rle_trans IH _; apply: Rmax_r.
Qed.

Lemma span_ge f i j : f i - f j <= span f.
Proof. by rewrite /span; have := largest_ge f i; have := largest_ge (fun i => - f i) j; lra. Qed.

Lemma span_ge0 f : inhabited I -> 0 <= span f.
Proof. by move=> [i]; have := span_ge f i i; lra. Qed.

End Maxima.

Lemma largest_bool (f : bool_finType -> R) : Largest f = Rmax (f true) (f false).
Proof.
apply: Rle_antisym.
  by apply: (largest_le (inhabits true)) => -[]; [apply: Rmax_l | apply: Rmax_r].
by apply: Rmax_lub; apply: largest_ge.
Qed.

Lemma largest_unit (f : unit_finType -> R) : Largest f = f tt.
Proof. by have [[->]] := largest_attained f (inhabits tt). Qed.

(* ---- distributions ----------------------------------------------------------------------------------------- *)

Lemma prob_le1 (I : finType) (p : dist I) i : p i <= 1.
Proof. by rewrite -(prob_sum1 p); apply/sum_ge_term/prob_ge0. Qed.

Lemma dist_inhabited (I : finType) (p : dist I) : inhabited I.
Proof.
case: (pickP (fun _ : I => true)) => [i _|H]; first by exists.
have := prob_sum1 p; rewrite /Sum big_pred0 => // ; lra.
Qed.

Lemma inner_ext (I : finType) (x : dist I) f g : (forall i, f i = g i) -> inner x f = inner x g.
Proof. by move=> fg; apply: sum_ext => i; rewrite fg. Qed.

Lemma inner_le (I : finType) (x : dist I) f g : (forall i, f i <= g i) -> inner x f <= inner x g.
Proof. by move=> fg; apply: sum_le => i; apply: Rmult_le_compat_l => //; apply: prob_ge0. Qed.

Lemma inner_const (I : finType) (x : dist I) c : inner x (fun _ => c) = c.
Proof. by rewrite /inner sumZr prob_sum1; ring. Qed.

Lemma innerD (I : finType) (x : dist I) f g : inner x (fun i => f i + g i) = inner x f + inner x g.
Proof. by rewrite /inner -sumD; apply: sum_ext => i; ring. Qed.

Lemma innerB (I : finType) (x : dist I) f g : inner x (fun i => f i - g i) = inner x f - inner x g.
Proof. by rewrite /inner -sumB; apply: sum_ext => i; ring. Qed.

Lemma innerZ (I : finType) (x : dist I) c f : inner x (fun i => c * f i) = c * inner x f.
Proof. by rewrite /inner -sumZl; apply: sum_ext => i; ring. Qed.

Lemma inner_le_const (I : finType) (x : dist I) f c : (forall i, f i <= c) -> inner x f <= c.
Proof. by move=> H; rewrite -[X in _ <= X](inner_const x); apply: inner_le. Qed.

Lemma inner_ge_const (I : finType) (x : dist I) f c : (forall i, c <= f i) -> c <= inner x f.
Proof. by move=> H; rewrite -[X in X <= _](inner_const x); apply: inner_le. Qed.

(* All probability on one element. *)
Lemma point_ge0 (I : finType) (b a : I) : 0 <= (if a == b then 1 else 0).
Proof. by case: ifP => _; lra. Qed.

Lemma point_sum1 (I : finType) (b : I) : Sum (fun a => if a == b then 1 else 0) = 1.
Proof. by rewrite (sum_1 (i := b)) ?eqxx // => a /negbTE ->. Qed.

Definition point (I : finType) (b : I) : dist I := Dist (point_ge0 b) (point_sum1 b).

Lemma inner_point (I : finType) (b : I) f : inner (point b) f = f b.
Proof.
rewrite /inner (sum_1 (i := b)) /= ?eqxx; first by ring.
by move=> a /negbTE ->; ring.
Qed.
