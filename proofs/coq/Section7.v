(* Section 7 of docs/theory.md: task variance, its closed-form minimiser, and the bound on the expected gap. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2 Section3 Section5 Claims.
From BOMRL Require ComparatorError Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Section Family.
Variables (Tasks S A : finType) (c : case Tasks S A).

(* E_tau E_{nu-star} KL(pi-star||phi). *)
Definition expected_divergence : R :=
  Sum (fun tau => Constant.w c tau * Sum (fun s => Constant.nu_star c tau s * KL (point (best c tau s)) (meta c s))).

Lemma mass_ge0 s b : 0 <= Constant.mass c s b.
Proof.
apply: sum_ge0 => tau; apply: Rmult_le_pos; last exact: (prob_ge0 (point _)).
apply: Rmult_le_pos; first exact: prob_ge0.
exact: (flow_ge0 (visit_star_def c tau)).
Qed.

Lemma mass_le_total s b : Constant.mass c s b <= Constant.total c s.
Proof. by apply: sum_ge_term => b'; apply: mass_ge0. Qed.

(* The compensation identity. *)
Theorem compensation : expected_divergence = Constant.Var c + Constant.M c.
Proof.
have -> : Constant.Var c + Constant.M c = Sum (fun s => Sum (fun b => Constant.mass c s b * - ln (meta c s b))).
  rewrite /Constant.Var /Constant.M -sumD; apply: sum_ext => s; rewrite -sumD; apply: sum_ext => b.
  case: (Rle_lt_or_eq_dec _ _ (mass_ge0 s b)) => [m0|<-]; last by ring.
  have t0 : 0 < Constant.total c s by have := mass_le_total s b; lra.
  have p0 := meta_gt0 c s b.
  rewrite (ln_div t0 m0) ln_div ?ln_mult //; first by ring.
  exact: Rmult_lt_0_compat.
rewrite /expected_divergence.
rewrite (sum_ext (f := fun tau => Constant.w c tau * _) (g := fun tau => Sum (fun s => Sum (fun b =>
    Constant.w c tau * Constant.nu_star c tau s * point (best c tau s) b * - ln (meta c s b))))).
  rewrite sum_exch; apply: sum_ext => s; rewrite sum_exch; apply: sum_ext => b.
  by rewrite sumZr.
move=> tau; rewrite -sumZl; apply: sum_ext => s; rewrite KL_point; last exact: meta_gt0.
rewrite -(inner_point (best c tau s) (fun b => - ln (meta c s b))) /inner.
by rewrite -!sumZl; apply: sum_ext => b; ring.
Qed.

(* The mismatch is nonnegative, so the task variance, which does not depend on phi, is the minimum over phi. *)
Theorem mismatch_ge0 : 0 <= Constant.M c.
Proof.
apply: sum_ge0 => s.
have -> : 0 = Sum (fun b => Constant.mass c s b - Constant.total c s * meta c s b).
  by rewrite sumB sumZl prob_sum1 -/(Constant.total c s); ring.
apply: sum_le => b; have p0 := meta_gt0 c s b; have m0 := mass_ge0 s b.
have t0 : 0 <= Constant.total c s by apply: Rle_trans (mass_le_total s b).
case: (Rle_lt_or_eq_dec _ _ t0) => [pos|Z].
  by apply: kl_term_ge => //; apply: Rmult_lt_0_compat.
have -> : Constant.mass c s b = 0 by have := mass_le_total s b; lra.
by rewrite -Z; lra.
Qed.

Theorem barycentre_minimises : Constant.Var c <= expected_divergence.
Proof. by rewrite compensation; have := mismatch_ge0; lra. Qed.

(* At the barycentre, phi(b|s) = m(s,b)/m(s) where m(s) > 0, the minimum is attained. *)
Theorem mismatch_vanishes :
  (forall s b, 0 < Constant.total c s -> meta c s b = Constant.mass c s b / Constant.total c s) ->
  Constant.M c = 0 /\ expected_divergence = Constant.Var c.
Proof.
move=> bary; suff M0 : Constant.M c = 0 by rewrite compensation M0; split; lra.
rewrite /Constant.M -[RHS](sum_0 S); apply: sum_ext => s; rewrite -[RHS](sum_0 A); apply: sum_ext => b.
case: (Rle_lt_or_eq_dec _ _ (mass_ge0 s b)) => [m0|<-]; last by ring.
have t0 : 0 < Constant.total c s by have := mass_le_total s b; lra.
rewrite (bary s b t0); have -> : Constant.mass c s b / (Constant.total c s * (Constant.mass c s b / Constant.total c s)) = 1.
  by field; lra.
by rewrite ln_1; ring.
Qed.

Section Task.
Variable tau : Tasks.
Notation M := (task c tau).

Lemma inhabited_S : inhabited S.
Proof. exact: start_inhabited M. Qed.

Lemma inhabited_A : inhabited A.
Proof. by have [s] := inhabited_S; exact: dist_inhabited (meta c s). Qed.

Lemma span_le_Delta s : span (Constant.Q_phi c tau s) <= Constant.Delta c tau.
Proof. exact: (largest_ge (fun s => span (Constant.Q_phi c tau s)) s). Qed.

Lemma Delta_ge0 : 0 <= Constant.Delta c tau.
Proof. by have [s] := inhabited_S; apply: Rle_trans (span_ge0 _ inhabited_A) (span_le_Delta s). Qed.

(* The advantage of the optimal action is at most Delta TV(pi-star, phi), which is at most Delta KL. *)
Lemma a_le s : Constant.a c tau s <= Constant.Delta c tau * (1 - Constant.p c tau s).
Proof.
have -> : Constant.a c tau s
        = inner (meta c s) (fun b => Constant.Q_phi c tau s (best c tau s) - Constant.Q_phi c tau s b).
  by rewrite innerB inner_const /Constant.a {1}V_phi_def.
apply: inner_others => [|b]; first by ring.
by apply: Rle_trans (span_le_Delta s); apply: span_ge.
Qed.

Lemma divergence_ge s : 1 - Constant.p c tau s <= - ln (Constant.p c tau s).
Proof. exact/one_sub_le_ln/p_gt0. Qed.

(* gamma rho P_star (V-star - V^phi) = sum_s (nu-star(s)/(1-gamma) - rho(s)) a(s). *)
Lemma lookahead :
  (1 - Constant.gamma c) * Sum (fun s => Constant.rho c tau s * (Constant.gamma c * Constant.D c tau s))
  = Sum (fun s => (visit_star c tau s - (1 - Constant.gamma c) * Constant.rho c tau s) * Constant.a c tau s).
Proof.
have E s : Constant.gamma c * Constant.D c tau s = (V_star c tau s - V_phi c tau s) - Constant.a c tau s.
  rewrite -ahead_D /ahead -TpiB -V_star_def /Tpi inner_point /Constant.a /Constant.Q_phi; ring.
rewrite (sum_ext (g := fun s => (start M s * V_star c tau s - start M s * V_phi c tau s)
  - Constant.rho c tau s * Constant.a c tau s)); last by move=> s; rewrite E /Constant.rho; ring.
rewrite sumB sumB -/(J M (V_star c tau)) -/(J M (V_phi c tau)) Rmult_minus_distr_l.
rewrite -/(Constant.gap_phi c tau) gap_phi_star -sumZl -sumB; apply: sum_ext => s; ring.
Qed.

Theorem one_task (m : R) : method c = kl_posterior -> Constant.Delta c tau <= m -> Constant.lambda c <= m ->
  contraction_part c tau <= m / (1 - Constant.gamma c)
    * Sum (fun s => Constant.nu_star c tau s * KL (point (best c tau s)) (meta c s)).
Proof.
move=> alg Dm lm; have g1 := gamma_lt1 c tau; have l0 := lambda_gt0 c; have D0 := Delta_ge0.
apply: (Rmult_le_reg_l (1 - Constant.gamma c)); first lra.
rewrite /contraction_part (sum_ext (g := fun s => Constant.rho c tau s * (Constant.gamma c * Constant.D c tau s)
  + Constant.rho c tau s * (Constant.lambda c * - ln (Constant.p c tau s)))); last first.
  by move=> s; rewrite /Constant.e alg /ComparatorError.kl_posterior; ring.
rewrite sumD Rmult_plus_distr_l lookahead -sumZl -sumD.
have -> : (1 - Constant.gamma c) * (m / (1 - Constant.gamma c)
    * Sum (fun s => Constant.nu_star c tau s * KL (point (best c tau s)) (meta c s)))
  = Sum (fun s => m * (Constant.nu_star c tau s * KL (point (best c tau s)) (meta c s))).
  by rewrite sumZl; field; lra.
apply: sum_le => s; rewrite KL_point; last exact: meta_gt0.
have u0 := flow_ge_start (visit_star_def c tau) s; rewrite gamma_def -/(Constant.rho c tau s) in u0.
have p1 : 0 <= 1 - Constant.p c tau s by have := p_le1 c tau s; lra.
have kl := divergence_ge s; rewrite -/(Constant.p c tau s).
set kappa := - ln _ in kl *; set u := visit_star c tau s - _.
have {}u0 : 0 <= u by rewrite /u; lra.
have r0 : 0 <= (1 - Constant.gamma c) * Constant.rho c tau s by apply: Rmult_le_pos; [lra | apply: prob_ge0].
have h1 : u * Constant.a c tau s <= u * (m * kappa).
  apply: Rmult_le_compat_l => //; apply: Rle_trans (a_le s) _; apply: Rmult_le_compat => //.
have h2 : (1 - Constant.gamma c) * Constant.rho c tau s * (Constant.lambda c * kappa)
       <= (1 - Constant.gamma c) * Constant.rho c tau s * (m * kappa).
  by apply: Rmult_le_compat_l => //; apply: Rmult_le_compat_r; lra.
have -> : m * (Constant.nu_star c tau s * kappa)
        = u * (m * kappa) + (1 - Constant.gamma c) * Constant.rho c tau s * (m * kappa).
  by rewrite /u /Constant.nu_star; ring.
have -> : (1 - Constant.gamma c) * (Constant.rho c tau s * (Constant.lambda c * kappa))
        = (1 - Constant.gamma c) * Constant.rho c tau s * (Constant.lambda c * kappa) by ring.
lra.
Qed.

End Task.
End Family.

Theorem task_variance : task_variance_claim.
Proof.
move=> T S A c alg; rewrite /task_variance_left /task_variance_bound.
set m := Rmax _ _.
have one tau : Constant.gap c tau * Constant.w c tau <= m / (1 - Constant.gamma c) * (Constant.w c tau
    * Sum (fun s => Constant.nu_star c tau s * KL (point (best c tau s)) (meta c s)))
    + inner_part c tau * Constant.w c tau.
  have Dm : Constant.Delta c tau <= m by apply: Rle_trans (largest_ge _ tau) (Rmax_r _ _).
  have H := one_task alg Dm (Rmax_l _ _).
  have w0 : 0 <= Constant.w c tau := prob_ge0 (weight c) tau.
  have := Rmult_le_compat_r _ _ _ w0 (contraction_case c tau).
  have := Rmult_le_compat_r _ _ _ w0 H; lra.
apply: Rle_trans (sum_le one) _; rewrite sumD sumZl -/(expected_divergence c) compensation; right.
congr (_ + _); first by rewrite /Rdiv; ring.
by apply: sum_ext => tau; rewrite /inner_part; ring.
Qed.
